"""Moves Transposes towards the outputs until they cancel, vanish into constants, or reach the interface. Exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cmf.encodings import Quantized
from cmf.ir.graph import Graph, Node, Shape
from cmf.ir.ops import op_of, option
from cmf.passes.channels_last import TO_FIRST, TO_LAST, emit_transpose, permuted_vector
from cmf.passes.rewrite import Rewriter, fixed

Perm = tuple[int, ...]


def run(graph: Graph) -> int:
    """Returns the number of Transposes that are gone."""
    before = sum(n.op == "Transpose" for n in graph.nodes)
    rewriter = Rewriter(graph)
    queue = [n for n in graph.nodes if n.op == "Transpose"]
    while queue:
        node = queue.pop(0)
        if rewriter.alive(node):
            queue += _visit(rewriter, node)
    for node in [n for n in graph.nodes if n.op == "Transpose"]:
        _as_reshape(rewriter, node)
    return before - sum(n.op == "Transpose" for n in graph.nodes)


def inverse(perm: Perm) -> Perm:
    result = [0] * len(perm)
    for i, p in enumerate(perm):
        result[p] = i
    return tuple(result)


def _visit(rewriter: Rewriter, node: Node) -> list[Node]:
    """Simplifies one Transpose; returns new Transposes to look at."""
    above = rewriter.producer(node.inputs[0], "Transpose")
    if above is not None:
        first, second = option(above, "perm"), option(node, "perm")
        node.options["perm"] = tuple(first[p] for p in second)
        rewriter.set_input(node, 0, above.inputs[0])
        if not rewriter.uses.get(above.outputs[0]) and above.outputs[0] not in rewriter.graph.outputs:
            rewriter.remove(above)
    perm: Perm = tuple(option(node, "perm"))
    source, result = node.inputs[0], node.outputs[0]
    if perm == tuple(range(len(perm))) and rewriter.bypass(node, source):
        return []
    for twin in rewriter.uses.get(source, []):
        if (
            twin is not node
            and twin.op == "Transpose"
            and tuple(option(twin, "perm")) == perm
            and result not in rewriter.graph.outputs
        ):
            rewriter.replace(result, twin.outputs[0])
            rewriter.remove(node)
            return [twin]
    fresh: list[Node] = []
    for user in list(rewriter.uses.get(result, [])):
        if user.op == "Transpose":
            fresh.append(user)
            continue
        push = _PUSHES.get(user.op) or _FAMILIES.get(op_of(user).family)
        if push is not None and rewriter.alive(user) and result in user.inputs:
            fresh += push(rewriter, user, node, perm)
    if not rewriter.uses.get(result) and result not in rewriter.graph.outputs:
        rewriter.remove(node)
    return fresh


# ---------------------------------------------------------------- pushing through one node


def _below(rewriter: Rewriter, user: Node, perm: Perm) -> list[Node]:
    """Puts a Transpose behind a node, which from now on works on untransposed values."""
    output = user.outputs[0]
    value = rewriter.graph.value(output)
    shape = None if value.shape is None else tuple(value.shape[i] for i in inverse(perm))
    inner = rewriter.value(f"{output}/inner", value.dtype, shape)
    inner.affine = value.affine
    rewriter.set_output(user, inner.name)
    return [rewriter.add(Node("Transpose", [inner.name], [output], {"perm": perm}, f"{user.name}/transpose"))]


def _elementwise(rewriter: Rewriter, user: Node, node: Node, perm: Perm) -> list[Node]:
    """All inputs must be transposed alike, constants, or single numbers."""
    if user.op in ("QuantizeLinear", "DequantizeLinear") and len(user.inputs) > 1:
        return []
    sources = _sources(rewriter, user, perm)
    if sources is None:
        return []
    for i, source in enumerate(sources):
        rewriter.set_input(user, i, source)
    return _below(rewriter, user, perm)


def _sources(rewriter: Rewriter, user: Node, perm: Perm, elementwise: bool = True) -> list[str] | None:
    """Inputs of a node as they must be without the Transpose; None where that is not possible or does not pay."""
    plans = [_plan(rewriter, user, name, perm, elementwise) for name in user.inputs]
    if None in plans:
        return None
    sources = []
    for name, plan in zip(user.inputs, plans):
        if plan == "above":
            sources.append(rewriter.producers[name].inputs[0])
        elif plan == "constant":
            sources.append(_untransposed(rewriter, name, perm, trim=elementwise))
        elif plan == "turn":
            twin = _transposed_already(rewriter, name, inverse(perm))
            sources.append(twin.outputs[0] if twin is not None else emit_transpose(rewriter, name, inverse(perm)))
        else:
            sources.append(name)
    return sources


def _plan(rewriter: Rewriter, user: Node, name: str, perm: Perm, elementwise: bool) -> str | None:
    """What becomes of one input: the same, what lies above its Transpose, a permuted constant, or a Transpose."""
    if not name:
        return "same" if elementwise else None
    value, above = rewriter.graph.value(name), rewriter.producer(name, "Transpose")
    if above is not None and tuple(option(above, "perm")) == perm:
        return "above"
    if elementwise and value.shape is not None and len(value.shape) <= len(perm) and all(d == 1 for d in value.shape):
        return "same"
    if value.data is not None:
        fits = value.data.ndim <= len(perm) if elementwise else value.data.ndim == len(perm)
        return "constant" if fits else None
    # towards channels last only, so that nothing goes back and forth
    if perm != TO_FIRST or value.shape is None or len(value.shape) != len(perm):
        return None
    readers = rewriter.uses.get(user.outputs[0], [])
    cancels = bool(readers) and all(r.op == "Transpose" and tuple(option(r, "perm")) == TO_LAST for r in readers)
    return "turn" if cancels or _transposed_already(rewriter, name, TO_LAST) is not None else None


def _transposed_already(rewriter: Rewriter, name: str, perm: Perm) -> Node | None:
    """A Transpose that exists."""
    users = rewriter.uses.get(name, [])
    return next((u for u in users if u.op == "Transpose" and tuple(option(u, "perm")) == perm), None)


def _untransposed(rewriter: Rewriter, name: str, perm: Perm, trim: bool) -> str:
    data = rewriter.data(name)
    assert data is not None
    wide = data.reshape((1,) * (len(perm) - data.ndim) + data.shape).transpose(inverse(perm))
    while trim and wide.ndim and wide.shape[0] == 1:
        wide = wide[0]
    result = rewriter.constant(name, np.ascontiguousarray(wide))
    rewriter.graph.value(result).affine = rewriter.graph.value(name).affine
    return result


def _concat(rewriter: Rewriter, user: Node, node: Node, perm: Perm) -> list[Node]:
    sources = _sources(rewriter, user, perm, elementwise=False)
    if sources is None:
        return []
    for i, source in enumerate(sources):
        rewriter.set_input(user, i, source)
    user.options["axis"] = perm[option(user, "axis") % len(perm)]
    return _below(rewriter, user, perm)


def _softmax(rewriter: Rewriter, user: Node, node: Node, perm: Perm) -> list[Node]:
    user.options["axis"] = perm[option(user, "axis") % len(perm)]
    rewriter.set_input(user, 0, node.inputs[0])
    return _below(rewriter, user, perm)


def _reduce(rewriter: Rewriter, user: Node, node: Node, perm: Perm) -> list[Node]:
    axes = {a % len(perm) for a in option(user, "axes")}
    left = perm
    if not option(user, "keepdims"):
        kept = [p for i, p in enumerate(perm) if i not in axes]
        left = tuple(sorted(kept).index(p) for p in kept)
    user.options["axes"] = tuple(sorted(perm[a] for a in axes))
    rewriter.set_input(user, 0, node.inputs[0])
    return _below(rewriter, user, left) if left != tuple(range(len(left))) else []


def _slice(rewriter: Rewriter, user: Node, node: Node, perm: Perm) -> list[Node]:
    if user.inputs[0] != node.outputs[0]:
        return []
    starts = rewriter.graph.value(user.inputs[1]).shape
    if len(user.inputs) > 3 and user.inputs[3]:
        axes = rewriter.data(user.inputs[3])
    else:
        axes = np.arange(starts[0]) if starts is not None and len(starts) == 1 and isinstance(starts[0], int) else None
    if axes is None:
        return []
    moved = np.array([perm[int(a) % len(perm)] for a in axes], np.int64)
    rewriter.set_input(user, 3, rewriter.constant(f"{user.outputs[0]}/axes", moved))
    rewriter.set_input(user, 0, node.inputs[0])
    return _below(rewriter, user, perm)


def _pad(rewriter: Rewriter, user: Node, node: Node, perm: Perm) -> list[Node]:
    pads, rank = rewriter.data(user.inputs[1]), len(perm)
    if pads is None or pads.size != 2 * rank or user.inputs[0] != node.outputs[0]:
        return []
    order = list(inverse(perm))
    moved = np.concatenate([pads[:rank][order], pads[rank:][order]])
    rewriter.set_input(user, 1, rewriter.constant(f"{user.outputs[0]}/pads", moved))
    rewriter.set_input(user, 0, node.inputs[0])
    return _below(rewriter, user, perm)


def _resize(rewriter: Rewriter, user: Node, node: Node, perm: Perm) -> list[Node]:
    """Only towards [N, H, W, C], which is what kernels are made for: a linear Resize changes the axes 1 and 2."""
    if user.inputs[0] != node.outputs[0] or option(user, "mode") == "linear" and {perm[1], perm[2]} != {1, 2}:
        return []
    rewriter.set_input(user, 1, permuted_vector(rewriter, user.inputs[1], inverse(perm)))
    rewriter.set_input(user, 0, node.inputs[0])
    return _below(rewriter, user, perm)


def _shape(rewriter: Rewriter, user: Node, node: Node, perm: Perm) -> list[Node]:
    order = perm[slice(option(user, "start"), option(user, "end"))]
    output = user.outputs[0]
    inner = rewriter.value(f"{output}/all", "i64")
    user.options.clear()
    rewriter.set_input(user, 0, node.inputs[0])
    rewriter.set_output(user, inner.name)
    index = rewriter.constant(f"{output}/order", np.array(order, np.int64))
    rewriter.add(Node("Gather", [inner.name, index], [output], {"axis": 0}, user.name))
    return []


def _reshape(rewriter: Rewriter, user: Node, node: Node, perm: Perm) -> list[Node]:
    if user.inputs[0] != node.outputs[0]:
        return []
    source = rewriter.graph.value(node.inputs[0]).shape
    wanted = rewriter.data(user.inputs[1])
    if source is None or wanted is None or len(source) != len(perm):
        return []
    if not _moves_only_ones(source, perm) and not _permute_rows(rewriter, user, source, perm):
        return []
    target = []
    for i, dim in enumerate(wanted.reshape(-1)):
        copied = source[perm[i]] if dim == 0 and i < len(perm) else int(dim)
        if isinstance(copied, str):
            if source[i] != copied:
                return []
            copied = 0
        target.append(copied)
    if target != list(wanted.reshape(-1)):
        rewriter.set_input(user, 1, rewriter.constant(f"{user.outputs[0]}/shape", np.array(target, np.int64)))
    rewriter.set_input(user, 0, node.inputs[0])
    return []


def _moves_only_ones(source: Shape, perm: Perm) -> bool:
    """Does a Transpose leave the order of elements as it is?"""
    order = [p for p in perm if source[p] != 1]
    return order == sorted(order)


def _permute_rows(rewriter: Rewriter, user: Node, source: Shape, perm: Perm) -> bool:
    """Where a flattened value only feeds a MatMul, the weight's rows are permuted instead of the value."""
    dims = fixed(source[1:])
    flat = rewriter.graph.value(user.outputs[0]).shape
    if perm[0] != 0 or dims is None or flat is None or len(flat) != 2 or flat[1] != int(np.prod(dims)):
        return False
    name: str = user.outputs[0]
    reader = rewriter.only_use(name)
    while reader is not None and op_of(reader).family == "unary" and not any(reader.inputs[1:]):
        name = reader.outputs[0]
        reader = rewriter.only_use(name)
    if reader is None or reader.op != "MatMul" or reader.inputs[0] != name:
        return False
    rows = np.arange(flat[1]).reshape([dims[p - 1] for p in perm[1:]])
    order = rows.transpose([inverse(perm)[i] - 1 for i in range(1, len(perm))]).reshape(-1)
    weight = rewriter.graph.value(reader.inputs[1])
    if weight.shape is None or len(weight.shape) != 2:
        return False
    if weight.data is not None:
        rewriter.change_constant(reader, 1, np.ascontiguousarray(weight.data[order]))
        return True
    tree = weight.tree
    if not isinstance(tree, Quantized) or tree.group:
        return False
    codes = np.ascontiguousarray(tree.codes[:, :, order])
    moved = Quantized(tree.geometry, codes, tree.scales, tree.bits, tree.zeros, 0, tree.scale_dtype)
    if rewriter.only_use(weight.name) is reader:
        weight.tree = moved
    else:
        value = rewriter.value(weight.name, weight.dtype, weight.shape)
        value.tree = moved
        rewriter.set_input(reader, 1, value.name)
    return True


def _as_reshape(rewriter: Rewriter, node: Node) -> None:
    """A Transpose that only moves dimensions of 1 is a Reshape, which costs nothing."""
    source = rewriter.graph.value(node.inputs[0]).shape
    perm: Perm = tuple(option(node, "perm"))
    if source is None or not _moves_only_ones(source, perm):
        return
    target = []
    for i, p in enumerate(perm):
        dim = source[p]
        target.append(dim if isinstance(dim, int) else 0 if source[i] == dim else -1)
    if target.count(-1) > 1:
        return
    shape = rewriter.constant(f"{node.outputs[0]}/shape", np.array(target, np.int64))
    node.op, node.options = "Reshape", {}
    rewriter.set_input(node, 1, shape)


_Push = Callable[[Rewriter, Node, Node, Perm], list[Node]]
_FAMILIES: dict[str, _Push] = {"unary": _elementwise, "nary": _elementwise, "reduce": _reduce}
_PUSHES: dict[str, _Push] = {
    "Concat": _concat,
    "Softmax": _softmax,
    "Slice": _slice,
    "Pad": _pad,
    "Resize": _resize,
    "Shape": _shape,
    "Reshape": _reshape,
}
