#!/usr/bin/env python3
"""Writes the bytes of a file as a constant array in C, to link a model into flash.

    python tools/cmf_to_c.py net.cmf net.c --name net      # const unsigned char net[]; const size_t net_size;

Save the model with alignment 16 and codec raw: the array is aligned to 16 bytes and nothing is decoded on a device.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path


def to_c(data: bytes, name: str, source: str) -> str:
    """C11 source of ``const unsigned char name[]`` with these bytes, and of ``const size_t name_size``."""
    rows = (data[i : i + 24] for i in range(0, len(data), 24))
    numbers = ",\n".join(",".join(map(str, row)) for row in rows)
    return (
        f"/* Generated from {source} by tools/cmf_to_c.py. */\n#include <stddef.h>\n\n"
        f"extern const unsigned char {name}[];\nextern const size_t {name}_size;\n"
        f"_Alignas(16) const unsigned char {name}[{len(data)}] = {{\n{numbers}\n}};\n"
        f"const size_t {name}_size = sizeof {name};\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a file's bytes as a constant array in C.")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--name", help="name of the array (default: the input's name)")
    arguments = parser.parse_args()
    name = arguments.name or re.sub(r"\W", "_", arguments.input.stem)
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        parser.error(f"{name!r} is not a C identifier: pass --name")
    data = arguments.input.read_bytes()
    if not data:
        parser.error(f"{arguments.input} is empty")
    arguments.output.write_text(to_c(data, name, arguments.input.name), encoding="ascii")


if __name__ == "__main__":
    main()
