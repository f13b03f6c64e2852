"""The C library as Python sees it: the extension, its statuses as exceptions, its data types as numpy's."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import zstandard

from cmf.errors import CmfError, FormatError, ShapeError, UnsupportedError

try:
    from cmf._cmf import ffi as _ffi
    from cmf._cmf import lib as _lib
except ImportError as cause:  # a source tree on the path without a build
    raise CmfError(
        f"the C library is not built ({cause}). In the source folder run `pip install -e .`; if cmf is installed "
        "otherwise, run Python outside of the source folder", "E_STATE"
    ) from cause

ffi: Any = _ffi
lib: Any = _lib

#: id in cmf.fbs -> numpy type
DTYPES: dict[int, npt.DTypeLike] = {
    lib.CMF_F32: np.float32, lib.CMF_F16: np.float16, lib.CMF_BF16: ml_dtypes.bfloat16, lib.CMF_F64: np.float64,
    lib.CMF_I8: np.int8, lib.CMF_U8: np.uint8, lib.CMF_I16: np.int16, lib.CMF_U16: np.uint16,
    lib.CMF_I32: np.int32, lib.CMF_U32: np.uint32, lib.CMF_I64: np.int64, lib.CMF_U64: np.uint64,
    lib.CMF_BOOL: np.bool_,
}

_CLASSES: dict[str, type[CmfError]] = {
    **dict.fromkeys(("E_SHAPE", "E_DTYPE"), ShapeError),
    **dict.fromkeys(("E_FEATURE", "E_UNSUPPORTED"), UnsupportedError),
    **dict.fromkeys(
        ("E_MAGIC", "E_VERSION", "E_TRUNCATED", "E_CHECKSUM", "E_METADATA", "E_LIMIT", "E_BUFFER", "E_ENCODING",
         "E_GRAPH", "E_CODEC"), FormatError),
}


def text(pointer: Any) -> str:
    """A C string; "" for NULL. Names in files need not be UTF-8."""
    return "" if pointer == ffi.NULL else bytes(ffi.string(pointer)).decode("utf-8", "replace")


def check(status: int, error: Any, where: str = "") -> None:
    """Raises what the library reported: its own sentence, after ``where`` if given."""
    if status == lib.CMF_OK:
        return
    code = text(lib.cmf_status_name(status))
    message = text(error.message) if error is not None else ""
    message = message or text(lib.cmf_status_text(status))
    raise _CLASSES.get(code, CmfError)(f"{where}: {message}" if where else message, code)


def isa_levels() -> tuple[str, ...]:
    """Instruction sets that are compiled in and present on this processor, the best last."""
    available = int(lib.cmf_isa_available())
    return tuple(text(lib.cmf_isa_name(k)) for k in range(int(lib.CMF_ISA_COUNT)) if available >> k & 1)


def isa_mask(level: str | None) -> int:
    """The mask that forces a level; 0 (any) for None."""
    if level is None:
        return 0
    names = {text(lib.cmf_isa_name(k)): k for k in range(int(lib.CMF_ISA_COUNT))}
    if level not in names or level not in isa_levels():
        raise CmfError(
            f"instruction set {level!r} is not available here; there is: {', '.join(isa_levels())}", "E_ARGUMENT")
    return 1 << names[level] | 1  # the scalar kernels fill what a level leaves open


@ffi.def_extern(error=1)  # type: ignore[untyped-decorator, unused-ignore]
def cmf_python_zstd(_user: Any, target: Any, size: int, source: Any, source_size: int) -> int:
    """Decodes one frame into exactly ``size`` bytes; the frame must say that size, so no more is ever allocated."""
    try:
        frame = ffi.buffer(source, source_size)
        if zstandard.frame_content_size(frame) != size:
            return 1
        ffi.buffer(target, size)[:] = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except (zstandard.ZstdError, ValueError, MemoryError):
        return 1
    return 0


#: passed to the library when it opens a file; lives as long as the module
zstd = ffi.new("cmf_zstd *", {"decompress": lib.cmf_python_zstd})
