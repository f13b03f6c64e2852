"""EfficientNet-Lite0 as an ONNX model, built from the tensors of a checkpoint.

The network of Tan and Le (arXiv 1905.11946) in its Lite form: no squeeze-and-excite, ReLU6 for swish, stem and head not
scaled. Padding is TensorFlow's ``SAME`` (the odd pixel at the bottom and right), as the weights were trained with.
Batch normalization stays in the graph: folding it is the compiler's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from cmf.errors import CmfError

#: repeats, kernel, stride, expansion, output channels
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))
STEM, HEAD, CLASSES, SIZE = 32, 1280, 1000, 224
EPSILON = 1e-3

State = Mapping[str, npt.NDArray[Any]]


class _Builder:
    def __init__(self, state: State) -> None:
        self.state = state
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Any] = {}
        self.current = "input"

    def tensor(self, name: str, shape: tuple[int, ...]) -> str:
        """Takes a tensor of the checkpoint; it must have the network's shape."""
        if name not in self.state or self.state[name].shape != shape:
            found = self.state[name].shape if name in self.state else "missing"
            raise CmfError(f"the checkpoint is not EfficientNet-Lite0's: {name} is {found}, not {shape}", "E_SHAPE")
        self.constants[name] = np.ascontiguousarray(self.state[name], np.float32)
        return name

    def add(self, op: str, extra: list[str], name: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, [self.current, *extra], [name], name=name, **attributes))
        self.current = name

    def conv(self, name: str, norm: str, inputs: int, outputs: int, kernel: int = 1, stride: int = 1,
             depthwise: bool = False, relu6: bool = True) -> None:
        before = (kernel - stride) // 2  # of kernel - stride in all: every strided input is even
        after = kernel - stride - before
        weight = self.tensor(f"{name}.weight", (outputs, 1 if depthwise else inputs, kernel, kernel))
        self.add("Conv", [weight], name, kernel_shape=[kernel] * 2, strides=[stride] * 2,
                 pads=[before, before, after, after], group=inputs if depthwise else 1)
        fields = ("weight", "bias", "running_mean", "running_var")
        self.add("BatchNormalization", [self.tensor(f"{norm}.{f}", (outputs,)) for f in fields], norm, epsilon=EPSILON)
        if relu6:
            self.constants.update(zero=np.float32(0), six=np.float32(6))
            self.add("Clip", ["zero", "six"], f"{name}.relu6")


def build(state: State) -> onnx.ModelProto:
    """The model: ``input`` f32 [N, 3, 224, 224] = (rgb - 127) / 128, ``logits`` [N, 1000].

    Raises CmfError where the checkpoint lacks a tensor or has it in another shape.
    """
    net = _Builder(state)
    net.conv("_conv_stem", "_bn0", 3, STEM, 3, 2)
    channels, index = STEM, 0
    for repeats, kernel, stride, expansion, outputs in STAGES:
        for repeat in range(repeats):
            block, source, wide = f"_blocks.{index}", net.current, channels * expansion
            step = stride if repeat == 0 else 1
            if expansion > 1:
                net.conv(f"{block}._expand_conv", f"{block}._bn0", channels, wide)
            net.conv(f"{block}._depthwise_conv", f"{block}._bn1", wide, wide, kernel, step, depthwise=True)
            net.conv(f"{block}._project_conv", f"{block}._bn2", wide, outputs, relu6=False)
            if step == 1 and channels == outputs:
                net.add("Add", [source], f"{block}.add")
            channels, index = outputs, index + 1
    net.conv("_conv_head", "_bn1", channels, HEAD)
    net.add("GlobalAveragePool", [], "pool")
    net.add("Flatten", [], "features")
    net.add("Gemm", [net.tensor("_fc.weight", (CLASSES, HEAD)), net.tensor("_fc.bias", (CLASSES,))], "logits", transB=1)
    graph = helper.make_graph(
        net.nodes, "efficientnet_lite0",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in net.constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="cmf")
    model.ir_version = 8
    return model
