"""One ONNX node as a converter sees it: attributes of known types, inputs by name, and a way to emit IR nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from cmf.errors import GraphError, UnsupportedError
from cmf.frontend.onnx_tensors import Array
from cmf.ir.graph import Affine, Shape

if TYPE_CHECKING:
    from cmf.frontend.onnx_import import Importer

# AttributeProto.AttributeType
_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS = 1, 2, 3, 4, 6, 7


class OnnxNode:
    """Wraps a ``NodeProto``. Attributes that no converter asked for are refused by :meth:`finish`."""

    def __init__(self, proto: Any, importer: Importer) -> None:
        self.proto, self.importer = proto, importer
        self.op: str = proto.op_type
        self.opset = importer.opset
        self.outputs: list[str] = list(proto.output)
        self.name: str = proto.name or next((o for o in self.outputs if o), "")
        self._attributes: dict[str, Any] = {}
        self._asked: list[str] = []
        for attribute in proto.attribute:
            if attribute.name in self._attributes:
                raise self.error(f"has attribute {attribute.name!r} twice")
            if attribute.ref_attr_name:
                raise self.unsupported(f"attribute {attribute.name!r} refers to a function's attribute")
            self._attributes[attribute.name] = attribute
        self.inputs: list[str] = [importer.resolve(name, self) if name else "" for name in proto.input]

    # ------------------------------------------------------------ errors

    def error(self, message: str) -> GraphError:
        return GraphError(f"{self.op} node {self.name!r}: {message}")

    def unsupported(self, message: str) -> UnsupportedError:
        return UnsupportedError(f"{self.op} node {self.name!r}: {message}")

    # ------------------------------------------------------------ attributes

    def _attribute(self, name: str, kind: int) -> Any:
        self._asked.append(name)
        attribute = self._attributes.get(name)
        if attribute is not None and attribute.type != kind:
            raise self.error(f"attribute {name!r} has the wrong type")
        return attribute

    def integer(self, name: str, default: int | None = None) -> int:
        attribute = self._attribute(name, _INT)
        if attribute is not None:
            return int(attribute.i)
        if default is None:
            raise self.error(f"attribute {name!r} is missing")
        return default

    def number(self, name: str, default: float) -> float:
        attribute = self._attribute(name, _FLOAT)
        return default if attribute is None else float(attribute.f)

    def integers(self, name: str) -> list[int] | None:
        attribute = self._attribute(name, _INTS)
        return None if attribute is None else [int(i) for i in attribute.ints]

    def numbers(self, name: str) -> list[float] | None:
        attribute = self._attribute(name, _FLOATS)
        return None if attribute is None else [float(f) for f in attribute.floats]

    def text(self, name: str, default: str) -> str:
        attribute = self._attribute(name, _STRING)
        return default if attribute is None else attribute.s.decode("utf-8", "replace")

    def tensor(self, name: str) -> Array | None:
        attribute = self._attribute(name, _TENSOR)
        return None if attribute is None else self.importer.array(attribute.t)

    def choice(self, name: str, default: str, supported: Sequence[str]) -> str:
        """A string attribute that must be one of a few."""
        value = self.text(name, default)
        if value not in supported:
            raise self.unsupported(f"{name} = {value!r} is not supported; supported: {', '.join(supported)}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        return self.integer(name, int(default)) != 0

    def must_be(self, name: str, wanted: int) -> None:
        """An int attribute of which only the default is supported."""
        value = self.integer(name, wanted)
        if value != wanted:
            raise self.unsupported(f"{name} = {value} is not supported; supported: {wanted}")

    def ignore(self, *names: str) -> None:
        """Attributes that do not matter for inference."""
        self._asked.extend(names)

    def finish(self) -> None:
        for name in self._attributes:
            if name not in self._asked:
                known = ", ".join(sorted(set(self._asked))) or "none"
                raise self.unsupported(f"attribute {name!r} is not supported; supported: {known}")

    # ------------------------------------------------------------ inputs

    def input(self, index: int) -> str:
        """The IR name of a required input."""
        name = self.optional(index)
        if name is None:
            raise self.error(f"input {index} is missing")
        return name

    def optional(self, index: int) -> str | None:
        return (self.inputs[index] or None) if index < len(self.inputs) else None

    def has(self, index: int) -> bool:
        return self.optional(index) is not None

    def arity(self, least: int, most: int | None) -> None:
        if len(self.inputs) < least or most is not None and len(self.inputs) > most:
            limit = f"{least} to {most}" if most is not None else f"at least {least}"
            raise self.error(f"has {len(self.inputs)} inputs; it takes {limit}")

    def shape(self, name: str) -> Shape | None:
        return self.importer.infos[name].shape

    def known_shape(self, name: str) -> Shape:
        """The shape of a value, whose rank must be known (dimensions may be symbols)."""
        shape = self.shape(name)
        if shape is None:
            raise self.unsupported(f"the rank of {name!r} is not known; declare the shapes of the model's inputs")
        return shape

    def dtype(self, name: str) -> str:
        return self.importer.infos[name].dtype

    def constant(self, name: str) -> Array | None:
        """The contents of a value, None if they are not known."""
        data = self.importer.graph.value(name).data
        if data is not None:
            return data
        info = self.importer.infos[name]
        if info.content is not None and all(isinstance(e, int) for e in info.content.reshape(-1)):
            return info.content.astype(np.int64)
        return None

    def known(self, index: int, what: str) -> Array:
        """The contents of an input that must be constant."""
        data = self.constant(self.input(index))
        if data is None:
            raise self.unsupported(f"{what} must be a constant")
        return data

    def known_ints(self, index: int, what: str) -> list[int]:
        data = self.known(index, what)
        if data.dtype.kind not in "iu" or data.ndim > 1:
            raise self.error(f"{what} must be a vector of integers")
        return [int(i) for i in data.reshape(-1)]

    def indices(self, name: str) -> str:
        """An integer value as i64."""
        if self.dtype(name) == "i64":
            return name
        if self.dtype(name) != "i32":
            raise self.error(f"{name!r} must be i64 or i32, it is {self.dtype(name)}")
        data = self.importer.graph.value(name).data
        if data is not None:
            return self.add_constant(data.astype(np.int64))
        return self.emit("Cast", [name], dtype="i64")

    # ------------------------------------------------------------ output

    def add_constant(self, data: Array, stem: str | None = None) -> str:
        return self.importer.add_constant(stem or f"{self.name}/constant", data)

    def derived(self, name: str, data: Array) -> str:
        """A constant that was computed from another one, whose name it takes if nothing else reads that."""
        return self.importer.derive(name, data)

    def emit(
        self,
        op: str,
        inputs: Sequence[str],
        options: dict[str, Any] | None = None,
        *,
        output: int | None = None,
        dtype: str = "f32",
        affine: Affine | None = None,
    ) -> str:
        """Adds an IR node; with ``output`` its result is that output of this ONNX node. Returns the result's name."""
        wanted = self.outputs[output] if output is not None and output < len(self.outputs) else ""
        return self.importer.emit(self, op, list(inputs), options or {}, wanted, dtype, affine)

    def result(
        self, op: str, inputs: Sequence[str], options: dict[str, Any] | None = None, *, dtype: str = "f32"
    ) -> None:
        """Adds the IR node that makes this ONNX node's only output."""
        self.emit(op, inputs, options, output=0, dtype=dtype)

    def alias(self, output: int, name: str) -> None:
        """An output that is simply another value."""
        if output < len(self.outputs) and self.outputs[output]:
            self.importer.alias(self, self.outputs[output], name)

    def one_output(self) -> None:
        """Refuses a node whose further outputs are used."""
        if any(self.outputs[1:]):
            raise self.unsupported(
                f"output {1} ({self.outputs[1]!r}) is not supported; supported: the first output only"
            )
