"""Describes the C library to cffi. CMake runs it: ``python -m cffi.gen_src exec-python ffi_build.py out.c``.

What Python may call is read from ``runtime_c/include/cmf.h``: every fact of the interface stays in one place. Run as a
script it prints the declarations that it made of the header.
"""

from __future__ import annotations

import re
from pathlib import Path

from cffi import FFI

HEADER = Path(__file__).resolve().parents[2] / "runtime_c" / "include" / "cmf.h"


def declarations(header: str) -> str:
    """The header's declarations without comments and macros, as cffi's ``cdef`` reads them.

    A preprocessor for this one header: constants are put in, the list of statuses is expanded, ``#ifdef __cplusplus``
    and the definition of ``CMF_API`` are dropped. Anything it does not know is an error, not a guess.
    """
    text = re.sub(r"/\*.*?\*/", " ", header, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text).replace("\\\n", " ")
    text = re.sub(r"#ifdef __cplusplus\n.*?#endif", "", text, flags=re.S)
    text = re.sub(r"#ifndef CMF_API\n(?:.*\n)*?#endif", "", text)
    statuses = re.search(r"^#define CMF_STATUS_MAP\(X\)(.*)$", text, flags=re.M)
    if statuses is None:
        raise ValueError("cmf.h has no CMF_STATUS_MAP")
    entries = re.findall(r"X\((\w+), *(\d+), *\"[^\"]*\"\)", statuses[1])
    enum = ", ".join(f"CMF_{name} = {number}" for name, number in entries)
    text = text.replace("CMF_STATUS_MAP(CMF_STATUS_ENUM)", enum)
    constants = dict(re.findall(r"^#define (CMF_\w+) +(\d+)\s*$", text, flags=re.M))
    for directive in re.findall(r"^# *(?:if|elif|else).*$", text, flags=re.M):
        if directive != "#ifndef CMF_H":
            raise ValueError(f"cmf.h: {directive!r} is not understood; teach cmf/runtime/ffi_build.py")
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    for name, number in constants.items():
        text = re.sub(rf"\b{name}\b", number, text)
    text = re.sub(r"\bCMF_API\b", "", text)
    defines = "\n".join(f"#define {name} {number}" for name, number in constants.items())
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.split("\n"))
    return defines + "\n" + "\n".join(line for line in lines if line) + "\n"


def ffi() -> FFI:
    """The module ``cmf._cmf``: the header's functions, and one callback through which Python decodes zstd."""
    builder = FFI()
    builder.cdef(declarations(HEADER.read_text(encoding="utf-8")))
    builder.cdef(
        'extern "Python" int cmf_python_zstd(void *user, void *target, size_t size, const void *source, '
        "size_t source_size);"
    )
    builder.set_source("cmf._cmf", '#include "cmf.h"')
    return builder


ffibuilder = ffi()

if __name__ == "__main__":
    print(declarations(HEADER.read_text(encoding="utf-8")))
