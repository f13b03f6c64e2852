"""A LeNet in the flash of an emulated Cortex-M4: no heap, no writes to flash, and the host's outputs to the bit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import cmf
from cmf.reference import evaluate

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
TOOLS = ("cmake", "arm-none-eabi-gcc", "qemu-system-arm", "gcc", "ar")
QEMU = ("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none",
        "-semihosting-config", "enable=on,target=native", "-kernel")
IMAGES = 3


def run(*command: str | Path, code: int = 0) -> str:
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=600)
    assert done.returncode == code, f"{command[0]} returned {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


def outputs(printed: str) -> list[bytes]:
    return [bytes.fromhex(line.split()[1]) for line in printed.splitlines() if line.startswith("output ")]


def number(printed: str, what: str) -> int:
    found = re.search(rf"^{re.escape(what)} (\d+)$", printed, re.M)
    assert found, printed
    return int(found[1])


@dataclass
class Network:
    """A file, the inputs it is run on, and what the numpy reference makes of them."""

    name: str
    file: Path
    inputs: Path
    expected: list[npt.NDArray[np.float32]]


@dataclass
class Bench:
    """One build folder for the device and one for this machine; the library is compiled once in each."""

    folder: Path

    def device(
        self, network: Network, model_memory: int = 8192, session_memory: int = 65536, ram: int = 192 << 10
    ) -> tuple[Path, str]:
        """The image for the device, and what the build printed."""
        build = self.folder / "device"
        run("cmake", "-S", ROOT / "runtime_c" / "device", "-B", build, "-DCMAKE_TOOLCHAIN_FILE=cortex-m4.cmake",
            f"-DCMF_DEVICE_MODEL={network.file}", f"-DCMF_DEVICE_INPUT={network.inputs}",
            f"-DCMF_DEVICE_MODEL_MEMORY={model_memory}", f"-DCMF_DEVICE_SESSION_MEMORY={session_memory}",
            f"-DCMF_DEVICE_RAM={ram}", "-DCMF_WARNINGS=ON", f"-DPython3_EXECUTABLE={sys.executable}")
        printed = run("cmake", "--build", build, "-j", "2")
        return build / "m4.elf", printed

    def host(self, network: Network) -> Path:
        """The same program over the same library, for this machine (scalar kernels)."""
        build = self.folder / "host"
        run("cmake", "-S", ROOT / "runtime_c", "-B", build, "-DCMF_SHARED=OFF", "-DCMF_INSTALL=OFF",
            "-DCMF_WITH_ZSTD=OFF")
        run("cmake", "--build", build, "-j", "2")
        arrays = []
        for symbol, source in (("cmf_device_model", network.file), ("cmf_device_input", network.inputs)):
            arrays.append(build / f"{symbol}.c")
            run(sys.executable, ROOT / "tools" / "cmf_to_c.py", source, arrays[-1], "--name", symbol)
        device = ROOT / "runtime_c" / "device"
        library = next(build.rglob("libcmf.a"))
        run("gcc", "-std=c11", "-DMODEL_MEMORY=65536", "-DSESSION_MEMORY=4194304",
            f"-I{ROOT / 'runtime_c' / 'include'}", device / "main.c", device / "board_host.c", *arrays, library,
            "-lpthread", "-o", build / "program")
        return build / "program"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        if os.environ.get("CMF_REQUIRE_TOOLS") == "1":
            pytest.fail(f"required, but missing: {', '.join(missing)}")
        pytest.skip(f"missing: {', '.join(missing)}")
    return Bench(tmp_path_factory.mktemp("device"))


def network(name: str, recipe: str, folder: Path) -> Network:
    digits = np.load(FIXTURES / "mnist_sample.npz")["x"].astype(np.float32).reshape(-1, 1, 28, 28) / 255
    calibration = {"image": digits[100:164]} if "a8" in recipe else None
    model, _ = cmf.compress(FIXTURES / f"{name}.onnx", recipe, calibration)
    file = cmf.save(model, folder / "net.cmf", alignment=16)
    (folder / "input.bin").write_bytes(digits[:IMAGES].tobytes())
    expected = [next(iter(evaluate(model.graph, {"image": digits[i : i + 1]}).values())) for i in range(IMAGES)]
    return Network(f"{name}: {recipe}", file, folder / "input.bin", expected)


def test_int8_lenet(bench: Bench, tmp_path: Path) -> None:
    net = network("lenet5", "int8 + a8", tmp_path)
    image, printed = bench.device(net)
    sizes = {line.split()[0]: int(line.split()[1]) for line in printed.splitlines() if re.match(r"\.\w+ +\d+ ", line)}
    print(f"flash: {sizes['.text'] + sizes['.rodata']} bytes of code and constants, {sizes['.model']} of model")
    assert "FLASH:" in printed and "RAM:" in printed
    assert sizes[".model"] == net.file.stat().st_size
    assert sizes[".data"] == sizes[".bss"] == 0, "the library has global state"

    device, host = run(*QEMU, image), run(bench.host(net))
    assert len(outputs(device)) == IMAGES
    assert outputs(device) == outputs(host)
    for got, want in zip(outputs(device), net.expected):
        assert np.array_equal(np.frombuffer(got, np.float32), want.ravel())

    # Nothing of a heap, of files or of a libm is in the image.
    symbols = {line.split()[-1] for line in run("arm-none-eabi-nm", image).splitlines()}
    assert not symbols & {"malloc", "_malloc_r", "_sbrk", "printf", "fopen", "exp", "expf", "powf", "tanhf", "sqrtf"}

    # The sizes that the library asks for are enough, and less (by more than any alignment) is refused.
    model, session = number(device, "model memory"), number(device, "session memory")
    print(f"RAM: {model} bytes of model, {session} of session, {number(device, 'stack')} of stack")
    image, _ = bench.device(net, model, session)
    assert outputs(run(*QEMU, image)) == outputs(host)
    image, _ = bench.device(net, model, session - 64)
    assert "E_MEMORY" in run(*QEMU, image, code=1)
    image, _ = bench.device(net, model - 64, session)
    assert "E_MEMORY" in run(*QEMU, image, code=1)


RECIPES = ("int8", "prune(0.8) + codebook(16)", "svd(0.25) + int8", "dct(8) + int4", "ternary")


@pytest.mark.parametrize("recipe", RECIPES)
def test_float_lenet(bench: Bench, tmp_path: Path, recipe: str) -> None:
    """Weights of every kind computed in floats: the device's are the host's."""
    net = network("lenet5", recipe, tmp_path)
    image, _ = bench.device(net, session_memory=448 << 10, ram=512 << 10)
    got = outputs(run(*QEMU, image))
    assert len(got) == IMAGES
    assert got == outputs(run(bench.host(net)))
    for output, want in zip(got, net.expected):
        scale = float(np.abs(want).max())
        np.testing.assert_allclose(np.frombuffer(output, np.float32), want.ravel(), rtol=0, atol=1e-5 * scale)
