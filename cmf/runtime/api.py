"""The Python face of the C library: an opened file, sessions over numpy arrays.

    session = cmf.load("net.cmf")
    y = session(x)                      # one output: the array; several: a dict by name
    y = session({"ids": ids, "mask": mask})

Weights are computed from the file where it lies (it is mapped, not read); nothing is expanded.

Threads: a :class:`File` may be shared freely. A :class:`Session` may be called from several threads, which then take
turns; for real parallelism make one session a thread from one file (``file.session()``): sessions share its
weights. The interpreter lock is released while the network runs.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.errors import CmfError, ShapeError
from cmf.runtime.library import DTYPES, check, ffi, isa_mask, lib, text, zstd

Array = npt.NDArray[Any]
Dim = int | str
Source = str | os.PathLike[str] | bytes | bytearray | memoryview
Result = Array | dict[str, Array]

#: plans (one for each combination of input shapes) that a session keeps, unless told otherwise
PLANS = 4
_WINOGRAD = 8  # id in cmf.fbs


@dataclass(frozen=True)
class TensorInfo:
    """An input or output. ``shape`` is None where only inference will tell; a str is a symbolic dimension.

    ``affine`` is (scale, zero_point) where integers stand for ``scale * (integer - zero_point)``.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[Dim, ...] | None
    affine: tuple[float, int] | None = None

    def __str__(self) -> str:
        shape = "[...]" if self.shape is None else "[" + ", ".join(map(str, self.shape)) + "]"
        return f"{self.name} {self.dtype.name} {shape}"


@dataclass(frozen=True)
class WeightInfo:
    """A weight [stack, outputs, inputs] of the file; ``transient_bytes``: the most a thread needs to decode it."""

    name: str
    stack: int
    outputs: int
    inputs: int
    run: int
    encoding: int
    stored_bytes: int
    transient_bytes: int


@dataclass(frozen=True)
class Footprint:
    """Bytes that a session takes, and the multiply-adds of one run (``work``)."""

    total: int
    arena: int
    scratch: int
    scratch_used: int
    copies: int
    work: int


@dataclass(frozen=True)
class NodeInfo:
    """A node of a plan, as ``cmf_node_info`` in cmf.h: what it computes, which way, and the bytes that it touches.

    ``work``: multiply-adds, or elements moved. ``weight_bytes``: encoded. Not ``runs``: its result is known
    beforehand, or its input under another shape.
    """

    name: str
    op: str
    compute: str
    method: str
    weights: str
    runs: bool
    work: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int


@dataclass(frozen=True)
class Options:
    """How sessions run.

    threads: that work on one run. isa: a level by name (``isa_levels()``), None: the best there is. policy: ``compact``
    computes from the file's bytes only, ``fast`` may keep copies where they win. max_memory, max_work: refuse a
    session with more bytes, or multiply-adds in a run, than this. plans: combinations of input shapes kept ready.
    """

    threads: int = 1
    isa: str | None = None
    policy: str = "compact"
    max_memory: int | None = None
    max_work: int | None = None
    plans: int = PLANS

    def __post_init__(self) -> None:
        for name, low in (("threads", 1), ("plans", 1)):
            if not isinstance(value := getattr(self, name), int) or not low <= value <= 1024:
                raise CmfError(f"{name} must be an integer from {low} to 1024, not {value!r}")
        for name in ("max_memory", "max_work"):
            if (value := getattr(self, name)) is not None and (not isinstance(value, int) or value < 1):
                raise CmfError(f"{name} must be a positive integer or None, not {value!r}")
        if self.policy not in ("compact", "fast"):
            raise CmfError(f"policy must be 'compact' or 'fast', not {self.policy!r}")


class File:
    """An opened file: what is in it, and the maker of sessions. Freed when nothing uses it any more."""

    def __init__(self, source: Source, *, verify: str = "structure", max_resident: int | None = None) -> None:
        """Opens a path (mapped) or bytes (used in place).

        verify: ``structure`` proves all that memory safety rests on; ``full`` also checks every checksum. Use it
        for files from elsewhere. max_resident: most bytes that compressed buffers may be inflated to (1 GiB).
        Raises FormatError, UnsupportedError or CmfError (``.code`` is ``E_IO`` for a file that cannot be read).
        """
        if verify not in ("structure", "full"):
            raise CmfError(f"verify must be 'structure' or 'full', not {verify!r}")
        options = ffi.new("cmf_open_options *")
        lib.cmf_open_options_default(options)
        options.verify = lib.CMF_VERIFY_FULL if verify == "full" else lib.CMF_VERIFY_STRUCTURE
        options.max_resident = max_resident or 0
        options.zstd = zstd
        slot, error = ffi.new("cmf_model **"), ffi.new("cmf_error *")
        buffer = None
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.path = None
            buffer = ffi.from_buffer(source)
            if int(ffi.cast("uintptr_t", buffer)) % 4:
                buffer = ffi.from_buffer(bytes(source))
            check(lib.cmf_model_open(buffer, len(buffer), options, slot, error), error)
        else:
            self.path = os.fspath(source)
            check(lib.cmf_model_open_file(os.fsencode(self.path), options, slot, error), error)
        # The bytes live as long as the model: the destructor holds them.
        self._model = ffi.gc(slot[0], functools.partial(_close_model, buffer))

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        return self._tensors("input")

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        return self._tensors("output")

    def _tensors(self, kind: str) -> tuple[TensorInfo, ...]:
        count = getattr(lib, f"cmf_model_{kind}_count")(self._model)
        tensor = ffi.new("cmf_tensor *")
        found = []
        for index in range(count):
            check(getattr(lib, f"cmf_model_{kind}")(self._model, index, tensor), None)
            shape = None if tensor.rank < 0 else tuple(self._dim(tensor.dims[d]) for d in range(tensor.rank))
            found.append(_info(tensor, shape, f"{kind}{index}"))
        return tuple(found)

    def _dim(self, value: int) -> Dim:
        return int(value) if value >= 0 else text(lib.cmf_model_symbol(self._model, -1 - value)) or f"dim{-1 - value}"

    @property
    def file_bytes(self) -> int:
        return self._footprint()[0]

    @property
    def resident_bytes(self) -> int:
        """What opening keeps in memory besides the file: tables, and buffers that were compressed."""
        return self._footprint()[1]

    def _footprint(self) -> tuple[int, int]:
        size, resident = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        lib.cmf_model_footprint(self._model, size, resident)
        return int(size[0]), int(resident[0])

    def weights(self) -> tuple[WeightInfo, ...]:
        """All weights, in the file's order."""
        info = ffi.new("cmf_weight_info *")
        found = []
        for index in range(lib.cmf_model_weight_count(self._model)):
            check(lib.cmf_model_weight(self._model, index, info), None)
            numbers = (info.stack, info.outputs, info.inputs, info.run, info.encoding, info.stored_bytes,
                       info.transient_bytes)
            found.append(WeightInfo(text(info.name), *map(int, numbers)))
        return tuple(found)

    def decode_weight(self, which: int | str) -> npt.NDArray[np.float32]:
        """A whole weight as f32 [stack, outputs, inputs], by index or name: for tests and export, never to run it.

        A Winograd weight decodes to its filters U [positions, outputs, channels].
        """
        weights = self.weights()
        if isinstance(which, str):
            names = [w.name for w in weights]
            if which not in names:
                raise CmfError(f"no weight is called {which!r}; the file has: {', '.join(names) or 'none'}")
            which = names.index(which)
        if not 0 <= which < len(weights):
            raise CmfError(f"weight {which} does not exist; the file has {len(weights)}")
        weight = weights[which]
        shapes = [(weight.stack, weight.outputs, weight.inputs)]
        if weight.encoding == _WINOGRAD:  # the library does not say which tile it is: 2 or 4
            shapes = [((tile + 2) ** 2, weight.outputs, weight.inputs // 9) for tile in (2, 4)]
        error = ffi.new("cmf_error *")
        for shape in shapes:
            target = np.empty(shape, np.float32)
            pointer = ffi.cast("float *", target.ctypes.data)
            status = lib.cmf_model_decode_weight(self._model, which, pointer, target.nbytes, error)
            if status != lib.CMF_E_ARGUMENT:  # the target's size
                break
        check(status, error, weight.name)
        return target

    def session(self, **options: Any) -> Session:
        """A session over this file; the keywords are the fields of :class:`Options`."""
        try:
            return Session(self, Options(**options))
        except TypeError as cause:
            raise CmfError(f"{cause}; options of a session are: {', '.join(Options.__dataclass_fields__)}") from None


class Plan:
    """A network planned for fixed input shapes: all its memory, views into it, and nothing else to allocate.

    For use without copies: write to ``input(name)``, call ``run()``, read ``output(name)``. One thread at a time.
    """

    def __init__(self, file: File, shapes: Sequence[tuple[int, ...]], options: Options) -> None:
        """``shapes``: one for each input. Raises ShapeError, or CmfError ``E_CAPACITY`` beyond the options' maxima."""
        given = ffi.new("cmf_shape[]", max(1, len(shapes)))
        for target, shape in zip(given, shapes):
            target.rank = len(shape)
            target.dims[0:len(shape)] = list(shape)
        request = ffi.new("cmf_session_options *")
        lib.cmf_session_options_default(request)
        request.input_shapes, request.input_shape_count = given, len(shapes)
        request.policy = lib.CMF_POLICY_FAST if options.policy == "fast" else lib.CMF_POLICY_COMPACT
        request.isa_mask, request.threads = isa_mask(options.isa), options.threads
        request.max_memory, request.max_work = options.max_memory or 0, options.max_work or 0
        slot, error = ffi.new("cmf_session **"), ffi.new("cmf_error *")
        check(lib.cmf_session_create(file._model, request, slot, error), error)
        # The model outlives the session: the destructor holds it.
        self._session = ffi.gc(slot[0], functools.partial(_close_session, file))
        self._error = error
        self._inputs = self._views("input", file.inputs)
        self._outputs = self._views("output", file.outputs)

    def _views(self, kind: str, infos: tuple[TensorInfo, ...]) -> dict[str, Array]:
        tensor = ffi.new("cmf_tensor *")
        views = {}
        for index, info in enumerate(infos):
            check(getattr(lib, f"cmf_session_{kind}")(self._session, index, tensor), None, info.name)
            dtype, shape = np.dtype(DTYPES[tensor.dtype]), tuple(int(tensor.dims[d]) for d in range(tensor.rank))
            address = int(ffi.cast("uintptr_t", tensor.data))
            memory = _Memory(self._session, address, int(tensor.size))
            views[info.name] = np.asarray(memory)[: int(tensor.size)].view(dtype).reshape(shape)
        return views

    def input(self, name: str) -> Array:
        """The writable memory of an input. What is written stays between runs."""
        return _named(self._inputs, name, "input")

    def output(self, name: str) -> Array:
        """The memory of an output; the next run overwrites it."""
        return _named(self._outputs, name, "output")

    def run(self) -> None:
        """Runs once; allocates nothing. Raises CmfError for what only data can show (an index out of range)."""
        check(lib.cmf_session_run(self._session, self._error), self._error)

    def nodes(self) -> tuple[NodeInfo, ...]:
        """All nodes, in the order in which they run."""
        raw = ffi.new("cmf_node_info *")
        found = []
        for index in range(lib.cmf_session_node_count(self._session)):
            check(lib.cmf_session_node(self._session, index, raw), None)
            texts = (text(raw.name), text(raw.op), text(raw.compute), text(raw.method), text(raw.weights))
            numbers = (int(raw.work), int(raw.weight_bytes), int(raw.input_bytes), int(raw.output_bytes))
            found.append(NodeInfo(*texts, bool(raw.runs), *numbers))
        return tuple(found)

    def run_nodes(self) -> npt.NDArray[np.int64]:
        """Runs once, node by node; the nanoseconds that each took, the call of some 0.2 us included."""
        count = lib.cmf_session_node_count(self._session)
        run, session, error, now = lib.cmf_session_run_node, self._session, self._error, time.perf_counter_ns
        times = np.empty(count + 1, np.int64)
        times[0] = now()
        for index in range(count):
            status = run(session, index, error)
            times[index + 1] = now()
            if status:
                check(status, error)
        return times[1:] - times[:-1]

    @property
    def isa(self) -> str:
        """The instruction set that is used."""
        return text(lib.cmf_session_isa(self._session))

    @property
    def footprint(self) -> Footprint:
        raw = ffi.new("cmf_session_footprint *")
        lib.cmf_session_get_footprint(self._session, raw)
        return Footprint(*(int(getattr(raw, name)) for name in Footprint.__dataclass_fields__))


class Session:
    """A callable network. It plans when it first sees a combination of input shapes and keeps the last few plans."""

    def __init__(self, file: File, options: Options | None = None) -> None:
        self.file = file
        self.options = options or Options()
        self.inputs, self.outputs = file.inputs, file.outputs
        isa_mask(self.options.isa)
        self._plans: OrderedDict[tuple[tuple[int, ...], ...], Plan] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, *arrays: Any, **named: Any) -> Result:
        """Runs the network.

        Inputs are numpy arrays: in order, as keywords, or one dict by name. Data types must match exactly; Python
        numbers and lists are taken where they fit the input's type. One output is returned as its array, several as a
        dict by name; results are the caller's own. Raises ShapeError naming the input, what was given and
        what is expected.
        """
        if len(arrays) == 1 and isinstance(arrays[0], Mapping) and not named:
            result = self.run(arrays[0])
        else:
            if len(arrays) > len(self.inputs):
                raise CmfError(f"{len(arrays)} inputs given, the model has {len(self.inputs)}: {self._expected()}")
            given = {info.name: array for info, array in zip(self.inputs, arrays)}
            for name in named:
                if name in given:
                    raise CmfError(f"input {name!r} is given twice")
            result = self.run({**given, **named})
        return next(iter(result.values())) if len(result) == 1 else result

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """As calling, but always by name: a dict in, a dict out."""
        arrays = self._arrays(inputs)
        with self._lock:
            plan = self._plan(tuple(a.shape for a in arrays))
            for info, array in zip(self.inputs, arrays):
                np.copyto(plan.input(info.name), array, casting="no")
            plan.run()
            return {info.name: plan.output(info.name).copy() for info in self.outputs}

    def plan(self, **shapes: Sequence[int]) -> Plan:
        """A plan of one's own for the given input shapes (fixed shapes may be left out), for runs without copies."""
        unknown = set(shapes) - {i.name for i in self.inputs}
        if unknown:
            raise CmfError(f"no input is called {sorted(unknown)[0]!r}; the model expects: {self._expected()}")
        chosen = []
        for info in self.inputs:
            shape = shapes.get(info.name, info.shape)
            if shape is None or any(isinstance(d, str) for d in shape):
                raise ShapeError(f"say the shape of input {info.name!r}: the model has {info}")
            chosen.append(tuple(int(d) for d in shape))
        self._check_shapes(chosen)
        return Plan(self.file, chosen, self.options)

    def weights(self) -> tuple[WeightInfo, ...]:
        return self.file.weights()

    def decode_weight(self, which: int | str) -> npt.NDArray[np.float32]:
        """See :meth:`File.decode_weight`."""
        return self.file.decode_weight(which)

    @property
    def footprint(self) -> Footprint | None:
        """Of the plan used last; None before the first run."""
        with self._lock:
            return next(reversed(self._plans.values())).footprint if self._plans else None

    def close(self) -> None:
        """Frees the plans. Optional: they go with the session."""
        with self._lock:
            self._plans.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        ends = "; ".join(map(str, self.inputs)), "; ".join(map(str, self.outputs))
        return f"<cmf.Session {self.file.path or 'in memory'}: {ends[0]} -> {ends[1]}>"

    def _expected(self) -> str:
        return "; ".join(map(str, self.inputs)) or "no inputs"

    def _plan(self, key: tuple[tuple[int, ...], ...]) -> Plan:
        if key in self._plans:
            self._plans.move_to_end(key)
        else:
            self._plans[key] = Plan(self.file, key, self.options)
            while len(self._plans) > self.options.plans:
                self._plans.popitem(last=False)
        return self._plans[key]

    def _arrays(self, inputs: Mapping[str, Any]) -> list[Array]:
        names = [info.name for info in self.inputs]
        for name in inputs:
            if name not in names:
                raise CmfError(f"no input is called {name!r}; the model expects: {self._expected()}")
        missing = [name for name in names if name not in inputs]
        if missing:
            raise CmfError(f"input {missing[0]!r} is missing; the model expects: {self._expected()}")
        arrays = [_as_input(inputs[info.name], info) for info in self.inputs]
        self._check_shapes([a.shape for a in arrays])
        return arrays

    def _check_shapes(self, shapes: Sequence[tuple[int, ...]]) -> None:
        symbols: dict[str, tuple[int, str]] = {}
        for info, shape in zip(self.inputs, shapes):
            if info.shape is None:
                continue
            said = "[" + ", ".join(map(str, shape)) + "]"
            if len(shape) != len(info.shape):
                raise ShapeError(f"input {info.name!r} has shape {said}, the model expects {info}")
            for axis, (size, dim) in enumerate(zip(shape, info.shape)):
                if isinstance(dim, str):
                    bound, by = symbols.setdefault(dim, (size, info.name))
                    if bound != size:
                        raise ShapeError(
                            f"dimension {dim!r} is {bound} in input {by!r} and {size} in input {info.name!r}")
                elif dim != size:
                    raise ShapeError(
                        f"input {info.name!r} has shape {said}: dimension {axis} is {size}, the model expects {info}")


def load(source: Source, *, verify: str = "structure", max_resident: int | None = None, **options: Any) -> Session:
    """Opens a ``.cmf`` file (path or bytes) and returns a callable session: see :class:`File`, :class:`Options`."""
    return File(source, verify=verify, max_resident=max_resident).session(**options)


class _Memory:
    """Bytes of a session as numpy sees them; keeps the session alive as long as there are views."""

    def __init__(self, session: Any, address: int, size: int) -> None:
        self.session = session
        self.spare = np.zeros(1, np.uint8)  # where there are no bytes there may be no address
        data = (address, False) if size else (self.spare.ctypes.data, False)
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (max(1, size),), "data": data}


def _close_model(_held: object, pointer: Any) -> None:
    lib.cmf_model_close(ffi.new("cmf_model **", pointer))


def _close_session(_held: object, pointer: Any) -> None:
    lib.cmf_session_close(ffi.new("cmf_session **", pointer))


def _info(tensor: Any, shape: tuple[Dim, ...] | None, fallback: str) -> TensorInfo:
    affine = (float(tensor.scale), int(tensor.zero_point)) if tensor.has_affine else None
    return TensorInfo(text(tensor.name) or fallback, np.dtype(DTYPES[tensor.dtype]), shape, affine)


def _named(views: dict[str, Array], name: str, kind: str) -> Array:
    if name not in views:
        raise CmfError(f"no {kind} is called {name!r}; there is: {', '.join(views) or 'none'}")
    return views[name]


def _as_input(given: Any, info: TensorInfo) -> Array:
    """The array of an input. Arrays must have its very type; Python numbers must fit it.

    Python floats may be rounded (0.1 is no float32 either); integers and booleans must be kept exactly.
    """
    is_array = hasattr(given, "__array__") or hasattr(given, "__array_interface__")
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as cause:
        raise ShapeError(f"input {info.name!r} is no array: {cause}; the model expects {info}") from None
    if array.dtype == info.dtype:
        return array
    wanted = info.dtype.name
    if is_array:
        raise ShapeError(
            f"input {info.name!r} is {array.dtype.name}, the model expects {info}; convert it, e.g. with "
            f".astype({wanted!r})", "E_DTYPE")
    if array.size == 0:
        return array.astype(info.dtype)
    if array.dtype.kind in "biuf":
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(info.dtype)
            if array.dtype.kind == "f" and info.dtype.kind in "fV":
                kept = bool((np.isfinite(cast) == np.isfinite(array)).all())
            else:
                kept = np.array_equal(cast.astype(array.dtype), array)
        if kept:
            return cast
    raise ShapeError(
        f"input {info.name!r} holds numbers that {wanted} does not keep; the model expects {info}", "E_DTYPE")
