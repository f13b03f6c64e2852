# Generated from schema/cmf.fbs by tools/gen_schema.py: do not edit.
"""The schema's enums and unions: ``Op["Conv"]``, ``Op(1).name``."""

from __future__ import annotations

from enum import IntEnum


class Activation(IntEnum):
    none = 0
    relu = 1
    clip = 2


class Codec(IntEnum):
    raw = 0
    zstd = 1
    rans = 2


class Compute(IntEnum):
    f32 = 0
    int8_static = 1
    int8_dynamic = 2


class Coordinates(IntEnum):
    half_pixel = 0
    asymmetric = 1
    align_corners = 2
    pytorch_half_pixel = 3


class DType(IntEnum):
    none = 0
    f32 = 1
    f16 = 2
    bf16 = 3
    f64 = 4
    i8 = 5
    u8 = 6
    i16 = 7
    u16 = 8
    i32 = 9
    u32 = 10
    i64 = 11
    u64 = 12
    boolean = 13


class Encoding(IntEnum):
    NONE = 0
    Dense = 1
    Sparse = 2
    Quantized = 3
    Codebook = 4
    LowRank = 5
    Dct = 6
    Bitpacked = 7
    Winograd = 8


class Form(IntEnum):
    svd = 0
    tucker2 = 1


class Granularity(IntEnum):
    tensor = 0
    channel = 1
    group = 2


class Layout(IntEnum):
    none = 0
    lines = 1
    rows = 2


class Levels(IntEnum):
    binary = 0
    ternary = 1


class Op(IntEnum):
    none = 0
    Conv = 1
    MatMul = 2
    MaxPool = 3
    AveragePool = 4
    GlobalAveragePool = 5
    Add = 6
    Sub = 7
    Mul = 8
    Div = 9
    Pow = 10
    Max = 11
    Min = 12
    Mod = 13
    Relu = 14
    Clip = 15
    Sigmoid = 16
    Tanh = 17
    Erf = 18
    Gelu = 19
    HardSigmoid = 20
    HardSwish = 21
    LeakyRelu = 22
    Sqrt = 23
    Exp = 24
    Log = 25
    Abs = 26
    Neg = 27
    Reciprocal = 28
    Floor = 29
    Ceil = 30
    Softmax = 31
    LayerNormalization = 32
    ReduceMean = 33
    ReduceSum = 34
    ReduceMax = 35
    Concat = 36
    Slice = 37
    Gather = 38
    GatherND = 39
    Reshape = 40
    Transpose = 41
    Expand = 42
    Pad = 43
    Resize = 44
    Shape = 45
    Range = 46
    Cast = 47
    Where = 48
    Equal = 49
    Greater = 50
    GreaterOrEqual = 51
    Less = 52
    LessOrEqual = 53
    And = 54
    Or = 55
    Not = 56
    IsNaN = 57
    QuantizeLinear = 58
    DequantizeLinear = 59
    Identity = 60


class Options(IntEnum):
    NONE = 0
    ConvOptions = 1
    PoolOptions = 2
    AxisOptions = 3
    NormOptions = 4
    AlphaOptions = 5
    ReduceOptions = 6
    TransposeOptions = 7
    ShapeOptions = 8
    ResizeOptions = 9
    PadOptions = 10
    GeluOptions = 11


class PadMode(IntEnum):
    constant = 0
    reflect = 1
    edge = 2


class Pattern(IntEnum):
    mask = 0


class Requantize(IntEnum):
    f32_rne = 0
    tflite_q31 = 1


class ResizeMode(IntEnum):
    nearest = 0
    linear = 1
