#!/usr/bin/env python3
"""Generates everything that follows from ``schema/cmf.fbs`` and from the status list in ``cmf.h``.

    python tools/gen_schema.py            # write
    python tools/gen_schema.py --check    # fail if a committed file is stale

Needs ``flatc`` (Debian: flatbuffers-compiler) on the PATH or in $FLATC. Written are

    runtime_c/src/base/schema_ids.h       ids of all enums and unions
    runtime_c/src/container/schema_gen.h  accessors of tables and structs
    runtime_c/src/container/schema_gen.c  the tables that drive the verifier
    cmf/container/_generated/fb.py        flatc's Python classes, in one module
    cmf/container/_generated/fb.pyi       ... whose members are Any to a type checker
    cmf/container/_generated/enums.py     the same enums as IntEnums
    cmf/_generated_status.py              the status codes of cmf.h
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = "schema/cmf.fbs"
HEADER = "runtime_c/include/cmf.h"
COMMAND = "tools/gen_schema.py"


# ---------------------------------------------------------------- the binary schema (.bfbs)

# reflection.fbs, enum BaseType
NONE, UTYPE, BOOL, BYTE, UBYTE, SHORT, USHORT, INT, UINT, LONG, ULONG, FLOAT, DOUBLE = range(13)
STRING, VECTOR, OBJ, UNION = range(13, 17)

#: base type -> (bytes, C type, loader suffix)
SCALARS: dict[int, tuple[int, str, str]] = {
    UTYPE: (1, "uint8_t", "u8"), BOOL: (1, "uint8_t", "u8"), BYTE: (1, "int8_t", "i8"), UBYTE: (1, "uint8_t", "u8"),
    SHORT: (2, "int16_t", "i16"), USHORT: (2, "uint16_t", "u16"), INT: (4, "int32_t", "i32"),
    UINT: (4, "uint32_t", "u32"), LONG: (8, "int64_t", "i64"), ULONG: (8, "uint64_t", "u64"),
    FLOAT: (4, "float", "f32"),
}


class Table:
    """One table of a binary FlatBuffer that is trusted (flatc has just written it); fields are read by id."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position

    def number(self, form: str, at: int) -> int:
        return int(struct.unpack_from("<" + form, self.data, at)[0])

    def slot(self, field: int) -> int:
        vtable = self.position - self.number("i", self.position)
        if 4 + 2 * field >= self.number("H", vtable):
            return 0
        offset = self.number("H", vtable + 4 + 2 * field)
        return self.position + offset if offset else 0

    def scalar(self, field: int, form: str, default: int = 0) -> int:
        at = self.slot(field)
        return self.number(form, at) if at else default

    def real(self, field: int) -> float:
        at = self.slot(field)
        return float(struct.unpack_from("<d", self.data, at)[0]) if at else 0.0

    def follow(self, at: int) -> int:
        return at + self.number("I", at)

    def table(self, field: int) -> Table | None:
        at = self.slot(field)
        return Table(self.data, self.follow(at)) if at else None

    def text(self, field: int) -> str:
        start = self.follow(self.slot(field))
        return self.data[start + 4:start + 4 + self.number("I", start)].decode()

    def tables(self, field: int) -> list[Table]:
        at = self.slot(field)
        if not at:
            return []
        start = self.follow(at)
        return [Table(self.data, self.follow(start + 4 + 4 * i)) for i in range(self.number("I", start))]


@dataclass(frozen=True)
class Kind:
    """A field's type: base type, element type of a vector, and the enum or object it names (-1: none)."""

    base: int
    element: int
    index: int


@dataclass(frozen=True)
class Enum:
    name: str
    is_union: bool
    values: tuple[tuple[str, int], ...]  # in order of their ids
    members: tuple[int, ...]             # unions: object index of each value


@dataclass(frozen=True)
class Field:
    name: str
    kind: Kind
    id: int
    offset: int
    default: int | float
    required: bool


@dataclass(frozen=True)
class Object:
    name: str
    is_struct: bool
    align: int
    size: int
    fields: tuple[Field, ...]  # in order of their ids


@dataclass(frozen=True)
class Schema:
    enums: tuple[Enum, ...]
    objects: tuple[Object, ...]
    root: str
    identifier: str


def read_schema(data: bytes) -> Schema:
    """Reads the parts of a .bfbs that the generators need (reflection.fbs: Schema, Object, Enum, Field, Type)."""
    root = Table(data, struct.unpack_from("<I", data, 0)[0])

    def short(name: str) -> str:
        return name.rsplit(".", 1)[-1]

    def kind(table: Table | None) -> Kind:
        if table is None:
            return Kind(NONE, NONE, -1)
        return Kind(table.scalar(0, "b"), table.scalar(1, "b"), table.scalar(2, "i", -1))

    enums = []
    for table in root.tables(1):
        rows = sorted((v.scalar(1, "q"), v.text(0), kind(v.table(3))) for v in table.tables(1))
        if [i for i, _, _ in rows] != list(range(len(rows))):
            raise SystemExit(f"{SCHEMA}: ids of enum {table.text(0)} have gaps: the verifier only knows a maximum")
        enums.append(Enum(short(table.text(0)), bool(table.scalar(2, "B")), tuple((n, i) for i, n, _ in rows),
                          tuple(k.index for _, _, k in rows)))
    objects = []
    for table in root.tables(0):
        fields = []
        for f in table.tables(1):
            k = kind(f.table(1))
            fields.append(Field(f.text(0), k, f.scalar(2, "H"), f.scalar(3, "H"),
                                f.real(5) if k.base in (FLOAT, DOUBLE) else f.scalar(4, "q"), bool(f.scalar(7, "B"))))
        objects.append(Object(short(table.text(0)), bool(table.scalar(2, "B")), table.scalar(3, "i"),
                              table.scalar(4, "i"), tuple(sorted(fields, key=lambda f: f.id))))
    top = root.table(4)
    assert top is not None
    return Schema(tuple(enums), tuple(objects), short(top.text(0)), root.text(2))


# ---------------------------------------------------------------- C

def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def first_line(open_comment: str, close_comment: str = "") -> str:
    return f"{open_comment} Generated from {SCHEMA} by {COMMAND}: do not edit.{close_comment}\n"


def make_ids(schema: Schema) -> str:
    out = [first_line("/*", " */"), "/* Ids of every enum and union of the schema: CMF_FB_<ENUM>_<VALUE>. */\n",
           "#ifndef CMF_BASE_SCHEMA_IDS_H\n#define CMF_BASE_SCHEMA_IDS_H\n"]
    for enum in schema.enums:
        prefix = f"CMF_FB_{enum.name.upper()}_"
        rows = "".join(f"    {prefix}{name.upper()} = {value},\n" for name, value in enum.values)
        out.append(f"\nenum {{\n{rows}    {prefix}COUNT = {enum.values[-1][1] + 1}\n}};\n")
    ops = next(e for e in schema.enums if e.name == "Op")
    lines = [f"    X({name}, {name.upper()}, {value})" for name, value in ops.values if value]
    out.append("\n/* Every op: name in the schema, upper case, id. */\n#define CMF_FB_OP_MAP(X) \\\n")
    out.append(" \\\n".join(lines) + "\n\n#endif\n")
    return "".join(out)


def scalar_default(field: Field) -> str:
    base = field.kind.base
    if base == FLOAT:
        return f"{float(field.default)!r}f"
    suffix = {INT: "", LONG: "ll", ULONG: "ull"}.get(base, "u")
    return f"{int(field.default)}{suffix}"


def make_accessors(schema: Schema) -> str:
    identifier = ", ".join(f"'{c}'" for c in schema.identifier)
    tables = [o for o in schema.objects if not o.is_struct]
    rows = "".join(f"    CMF_FB_TABLE_{o.name.upper()} = {i},\n" for i, o in enumerate(tables))
    out = [first_line("/*", " */"), "#ifndef CMF_CONTAINER_SCHEMA_GEN_H\n#define CMF_CONTAINER_SCHEMA_GEN_H\n\n",
           '#include "base/schema_ids.h"\n#include "container/fb.h"\n\n',
           f"#define CMF_FB_IDENTIFIER {{{identifier}}}\n\n",
           "/* Indices into cmf_fb_tables. */\nenum {\n", rows, f"    CMF_FB_TABLE_COUNT = {len(tables)},\n",
           f"    CMF_FB_TABLE_ROOT = CMF_FB_TABLE_{schema.root.upper()}\n}};\n"]
    for item in schema.objects:
        stem = f"cmf_fb_{snake(item.name)}"
        if item.is_struct:
            out.append(f"\n/* struct {item.name} */\n#define {stem.upper()}_SIZE {item.size}u\n")
        else:
            out.append(f"\n/* table {item.name} */\n")
        for field in item.fields:
            base, index = field.kind.base, field.kind.index
            name = f"{stem}_{field.name}(const uint8_t *{'s' if item.is_struct else 't'})"
            if item.is_struct:
                _, c_type, suffix = SCALARS[base]
                result, value = f"{c_type} ", f"cmf_load_{suffix}(s + {field.offset}u)"
            elif base in SCALARS:
                _, c_type, suffix = SCALARS[base]
                result, value = f"{c_type} ", f"cmf_fb_{suffix}(t, {field.id}u, {scalar_default(field)})"
            else:
                inline = base == OBJ and schema.objects[index].is_struct
                result, value = "const uint8_t *", f"cmf_fb_{'slot' if inline else 'ref'}(t, {field.id}u)"
            out.append(f"static inline {result}{name} {{ return {value}; }}\n")
    out.append("\n#endif\n")
    return "".join(out)


def make_rules(schema: Schema) -> str:
    """The verifier's tables: one row a field, in order of ids; unions name a range of cmf_fb_members."""
    tables = [o for o in schema.objects if not o.is_struct]
    number = {o.name: i for i, o in enumerate(tables)}
    members: list[str] = []
    first_member: dict[int, int] = {}
    for i, enum in enumerate(schema.enums):
        if enum.is_union:
            first_member[i] = len(members)
            members += ["0 /* NONE */"]
            members += [f"CMF_FB_TABLE_{schema.objects[m].name.upper()}" for m in enum.members[1:]]

    def row(field: Field) -> str:
        base, element, index = field.kind.base, field.kind.element, field.kind.index
        size = align = limit = count = 0
        if base in SCALARS:
            size = align = SCALARS[base][0]
            if base == BOOL:
                kind, limit = "ENUM", 1
            elif index >= 0:
                kind, limit = "ENUM", schema.enums[index].values[-1][1]
            else:
                kind = "SCALAR"
        elif base == STRING:
            kind = "STRING"
        elif base == OBJ:
            target = schema.objects[index]
            if target.is_struct:
                kind, size, align = "SCALAR", target.size, target.align
            else:
                kind, limit = "TABLE", number[target.name]
        elif base == UNION:
            kind, limit, count = "UNION", first_member[index], len(schema.enums[index].values)
        elif base == VECTOR and element == STRING:
            kind = "STRINGS"
        elif base == VECTOR and element == OBJ and not schema.objects[index].is_struct:
            kind, limit = "TABLES", number[schema.objects[index].name]
        elif base == VECTOR and element == OBJ:
            kind, size, align = "VECTOR", schema.objects[index].size, schema.objects[index].align
        elif base == VECTOR and element in SCALARS and index < 0:
            kind, size, align = "VECTOR", SCALARS[element][0], SCALARS[element][0]
        else:
            raise SystemExit(f"{SCHEMA}: field {field.name!r} has a type that the C verifier has no rule for")
        return (f"    {{\"{field.name}\", {limit}u, CMF_FB_KIND_{kind}, {int(field.required)}u, "
                f"{size or 4}u, {align or 4}u, {count}u}},\n")

    fields: list[str] = []
    heads: list[str] = []
    first = 0
    for table in tables:
        if [f.id for f in table.fields] != list(range(len(table.fields))):
            raise SystemExit(f"{SCHEMA}: ids of table {table.name} have gaps")
        heads.append(f"    {{\"{table.name}\", {first}u, {len(table.fields)}u}},\n")
        first += len(table.fields)
        fields.append(f"    /* {table.name} */\n")
        fields += [row(f) for f in table.fields]
    return "".join([
        first_line("/*", " */"), '#include "container/schema_gen.h"\n\n',
        "const cmf_fb_field_rule cmf_fb_fields[] = {\n", *fields, "};\n\n",
        "const cmf_fb_table_rule cmf_fb_tables[CMF_FB_TABLE_COUNT] = {\n", *heads, "};\n\n",
        "const uint8_t cmf_fb_members[] = {\n", *(f"    {m},\n" for m in members), "};\n"])


# ---------------------------------------------------------------- Python

def make_enums(schema: Schema) -> str:
    out = [first_line("#"), '"""The schema\'s enums and unions: ``Op["Conv"]``, ``Op(1).name``."""\n\n',
           "from __future__ import annotations\n\nfrom enum import IntEnum\n"]
    for enum in schema.enums:
        rows = "".join(f"    {name} = {value}\n" for name, value in enum.values)
        out.append(f"\n\nclass {enum.name}(IntEnum):\n{rows}")
    return "".join(out)


def make_status(header: str) -> str:
    body = re.search(r"#define CMF_STATUS_MAP\(X\)(.*?)\n\n", header, re.S)
    rows = re.findall(r'X\((\w+), (\d+), "([^"]*)"\)', body.group(1)) if body else []
    if not rows:
        raise SystemExit(f"{HEADER}: CMF_STATUS_MAP not found")
    names = "".join(f"    {name} = {number}\n" for name, number, _ in rows)
    texts = "".join(f'    Status.{name}: "{text}",\n' for name, _, text in rows)
    return (f"# Generated from {HEADER} by {COMMAND}: do not edit.\n"
            '"""The C library\'s status codes (``CMF_STATUS_MAP``) and their texts."""\n\n'
            "from __future__ import annotations\n\nfrom enum import IntEnum\n\n\n"
            f"class Status(IntEnum):\n{names}\n\nSTATUS_TEXT: dict[Status, str] = {{\n{texts}}}\n")


def generate(flatc: str) -> dict[str, str]:
    """All generated files: path from the root -> text."""
    with tempfile.TemporaryDirectory() as folder:
        schema_file = str(ROOT / SCHEMA)
        for arguments in (["--binary", "--schema"], ["--python", "--gen-onefile"]):
            command = [flatc, *arguments, "-o", folder, schema_file]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
        schema = read_schema((Path(folder) / "cmf.bfbs").read_bytes())
        classes = (Path(folder) / "cmf_generated.py").read_text()
    package = "cmf/container/_generated"
    python = first_line("#") + "# flake8: noqa\n# ruff: noqa\n# mypy: ignore-errors\n" + classes.rstrip() + "\n"
    stub = (first_line("#") + "from typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n")
    init = first_line("#") + '"""Generated from the schema: :mod:`.fb` (flatc\'s classes) and :mod:`.enums`."""\n'
    return {
        "runtime_c/src/base/schema_ids.h": make_ids(schema),
        "runtime_c/src/container/schema_gen.h": make_accessors(schema),
        "runtime_c/src/container/schema_gen.c": make_rules(schema),
        f"{package}/__init__.py": init,
        f"{package}/fb.py": python,
        f"{package}/fb.pyi": stub,
        f"{package}/enums.py": make_enums(schema),
        "cmf/_generated_status.py": make_status((ROOT / HEADER).read_text()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a committed file is stale")
    check = parser.parse_args().check
    flatc = os.environ.get("FLATC") or shutil.which("flatc")
    if not flatc:
        print("flatc not found: install it (Debian: flatbuffers-compiler) or set $FLATC", file=sys.stderr)
        return 2
    stale = 0
    for path, text in generate(flatc).items():
        file = ROOT / path
        old = file.read_text() if file.exists() else ""
        if old == text:
            continue
        if check:
            stale += 1
            diff = difflib.unified_diff(old.splitlines(True), text.splitlines(True), path, "generated")
            sys.stderr.writelines(list(diff)[:40])
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            print(f"wrote {path}")
    if stale:
        print(f"{stale} generated file(s) are stale: run python {COMMAND}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
