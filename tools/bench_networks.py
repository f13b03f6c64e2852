"""The networks of tools/bench_peers.py, built with onnx.helper.

Only their shapes matter: weights are random, of He's scale (arXiv 1502.01852, section 2.2), which keeps activations
in range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8


class Net:
    """Adds nodes one after the other; ``at`` is the last result, ``channels`` its channels or features."""

    def __init__(self, *shape: int) -> None:
        self.rng = np.random.default_rng(0)
        self.shape, self.channels, self.at = shape, shape[1], "x"
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        self.at = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [self.at], name=self.at, **attributes))
        return self.at

    def constant(self, data: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(data), name))
        return name

    def weight(self, *shape: int, fan_in: int) -> str:
        return self.constant((self.rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32))

    def bias(self, n: int) -> str:
        return self.constant((0.01 * self.rng.standard_normal(n)).astype(np.float32))

    def conv(self, outputs: int, kernel: int, stride: int = 1, group: int = 1, act: str = "relu",
             pad: int | None = None, at: str | None = None) -> Net:
        pad = kernel // 2 if pad is None else pad
        each = self.channels // group
        self.add("Conv", at or self.at, self.weight(outputs, each, kernel, kernel, fan_in=each * kernel * kernel),
                 self.bias(outputs), kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, group=group)
        self.channels = outputs
        return self.activate(act)

    def activate(self, act: str) -> Net:
        if act == "relu":
            self.add("Relu", self.at)
        elif act == "relu6":
            self.add("Clip", self.at, self.constant(np.float32(0)), self.constant(np.float32(6)))
        return self

    def pool(self, kernel: int, stride: int, pad: int = 0) -> Net:
        self.add("MaxPool", self.at, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)
        return self

    def mean(self) -> Net:
        self.add("GlobalAveragePool", self.at)
        return self.flatten(self.channels)

    def flatten(self, features: int) -> Net:
        self.add("Flatten", self.at, axis=1)
        self.channels = features
        return self

    def fc(self, outputs: int, act: str = "") -> Net:
        weight = self.weight(outputs, self.channels, fan_in=self.channels)
        self.add("Gemm", self.at, weight, self.bias(outputs), transB=1)
        self.channels = outputs
        return self.activate(act)

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        product = self.add("MatMul", x, self.weight(inputs, outputs, fan_in=2 * inputs))
        return self.add("Add", product, self.bias(outputs))

    def model(self) -> onnx.ModelProto:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)
        self.nodes[-1].output[0] = "y"
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "network", [x], [y], self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def mobilenetv2() -> Net:
    """Sandler et al., arXiv 1801.04381, table 2."""
    net = Net(1, 3, 224, 224).conv(32, 3, 2, act="relu6")
    for expand, channels, count, first in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                           (6, 160, 3, 2), (6, 320, 1, 1)):
        for k in range(count):
            before, inputs, stride = net.at, net.channels, first if k == 0 else 1
            middle = inputs * expand
            if expand > 1:
                net.conv(middle, 1, act="relu6")
            net.conv(middle, 3, stride, group=middle, act="relu6").conv(channels, 1, act="")
            if stride == 1 and inputs == channels:
                net.add("Add", before, net.at)
    return net.conv(1280, 1, act="relu6").mean().fc(1000)


def resnet(bottleneck: bool, counts: tuple[int, ...]) -> Net:
    """He et al., arXiv 1512.03385, table 1, the stride in the 3 x 3."""
    net = Net(1, 3, 224, 224).conv(64, 7, 2).pool(3, 2, 1)
    for stage, count in enumerate(counts):
        middle = 64 << stage
        outputs = 4 * middle if bottleneck else middle
        for k in range(count):
            before, inputs, stride = net.at, net.channels, 2 if stage and k == 0 else 1
            if bottleneck:
                net.conv(middle, 1).conv(middle, 3, stride).conv(outputs, 1, act="")
            else:
                net.conv(middle, 3, stride).conv(outputs, 3, act="")
            main = net.at
            if stride != 1 or inputs != outputs:
                net.channels = inputs
                before = net.conv(outputs, 1, stride, act="", at=before).at
            net.add("Add", main, before)
            net.activate("relu")
    return net.mean().fc(1000)


def vgg11_64() -> Net:
    net = Net(1, 3, 64, 64)
    for channels, last in ((64, 1), (128, 1), (256, 0), (256, 1), (512, 0), (512, 1), (512, 0), (512, 1)):
        net.conv(channels, 3)
        if last:
            net.pool(2, 2)
    return net.flatten(512 * 4).fc(4096, "relu").fc(4096, "relu").fc(1000)


def lenet5() -> Net:
    net = Net(1, 1, 28, 28).conv(20, 5, pad=0, act="").pool(2, 2).conv(50, 5, pad=0, act="").pool(2, 2)
    return net.flatten(800).fc(500, "relu").fc(10)


def encoder(layers: int = 4, hidden: int = 256, length: int = 128, heads: int = 4) -> Net:
    net = Net(1, length, hidden)
    split = net.constant(np.array([1, length, heads, hidden // heads]))
    joined = net.constant(np.array([1, length, hidden]))

    def normal(x: str) -> str:
        one, zero = (net.constant(np.full(hidden, v, np.float32)) for v in (1, 0))
        return net.add("LayerNormalization", x, one, zero, axis=-1)

    for _ in range(layers):
        x = net.at
        q, k, v = (net.add("Transpose", net.add("Reshape", net.linear(x, hidden, hidden), split), perm=perm)
                   for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = net.add("Mul", net.add("MatMul", q, k), net.constant(np.float32((hidden / heads) ** -0.5)))
        mixed = net.add("Transpose", net.add("MatMul", net.add("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        x = normal(net.add("Add", x, net.linear(net.add("Reshape", mixed, joined), hidden, hidden)))
        wide = net.linear(x, hidden, 4 * hidden)
        erf = net.add("Add", net.add("Erf", net.add("Mul", wide, net.constant(np.float32(0.5**0.5)))),
                      net.constant(np.float32(1)))
        gelu = net.add("Mul", net.add("Mul", wide, erf), net.constant(np.float32(0.5)))
        normal(net.add("Add", x, net.linear(gelu, 4 * hidden, hidden)))
    return net


def layer(channels: int, side: int, kernel: int, depthwise: bool = False) -> Net:
    return Net(1, channels, side, side).conv(channels, kernel, group=channels if depthwise else 1)


NETWORKS: dict[str, Callable[[], Net]] = {
    "mobilenetv2": mobilenetv2,
    "resnet18": lambda: resnet(False, (2, 2, 2, 2)),
    "resnet50": lambda: resnet(True, (3, 4, 6, 3)),
    "lenet300": lambda: Net(1, 784).fc(300, "relu").fc(100, "relu").fc(10),
    "lenet5": lenet5,
    "vgg11_64": vgg11_64,
    "bert4": encoder,
    "fc4096": lambda: Net(1, 4096).fc(4096),
    "conv3x3_64_56": lambda: layer(64, 56, 3),
    "conv3x3_256_14": lambda: layer(256, 14, 3),
    "conv1x1_256_28": lambda: layer(256, 28, 1),
    "dw3x3_144_56": lambda: layer(144, 56, 3, depthwise=True),
}
