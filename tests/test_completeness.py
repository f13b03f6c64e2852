"""One list of encodings and one of operators: schema, FORMAT.md, Python, C, tests and goldens agree on names, ids."""

import re
from pathlib import Path

from cmf.container import limits
from cmf.container.tables import OPTION_TABLES, OPTIONS_OF
from cmf.encodings import ENCODINGS
from cmf.ir.graph import NUMPY_DTYPES
from cmf.ir.ops import OPS
from cmf.reference.registry import module_name, operator

ROOT = Path(__file__).parents[1]
SCHEMA = re.sub(r"//[^\n]*", "", (ROOT / "schema" / "cmf.fbs").read_text(encoding="utf-8"))
FORMAT = (ROOT / "schema" / "FORMAT.md").read_text(encoding="utf-8")
NAMES = [cls.encoding for cls in ENCODINGS]


def members(kind: str, name: str) -> list[str]:
    """Names in a union or an enum of the schema, in order; an enum's numbers must follow each other."""
    body = re.search(rf"\b{kind} {name}\b[^{{]*{{([^}}]*)}}", SCHEMA)
    assert body, f"cmf.fbs has no {kind} {name}"
    entries = [entry.strip() for entry in body[1].split(",") if entry.strip()]
    if kind == "enum":
        assert [int(entry.split("=")[1]) for entry in entries] == list(range(len(entries)))
    return [entry.split("=")[0].strip() for entry in entries]


def fields(table: str) -> dict[str, str]:
    """Fields of a table of the schema with their types."""
    body = re.search(rf"\btable {table} {{([^}}]*)}}", SCHEMA)
    assert body, f"cmf.fbs has no table {table}"
    return dict(re.findall(r"(\w+):(\[?\w+\]?)", body[1]))


def macro(path: str, name: str) -> list[list[str]]:
    text = re.sub(r"/\*.*?\*/", "", (ROOT / "runtime_c" / "src" / path).read_text(encoding="utf-8"), flags=re.S)
    return [[part.strip() for part in line.split(",")] for line in re.findall(rf"^{name}\(([^)]*)\)", text, re.M)]


# ---------------------------------------------------------------- encodings


def test_ids_are_those_of_the_schema():
    assert [name.lower() for name in members("union", "Encoding")] == NAMES
    assert [cls.wire.table for cls in ENCODINGS] == members("union", "Encoding")


def test_each_class_knows_its_table():
    for cls in ENCODINGS:
        wire, found = cls.wire, fields(cls.wire.table)
        assert {*wire.fields, *wire.spans, *wire.children} == found.keys()
        assert {name for name, kind in found.items() if kind == "Span"} == set(wire.spans)
        assert {name for name, kind in found.items() if kind in ("Tree", "[Tree]")} == set(wire.children)
        assert set(wire.optional) <= {*wire.spans, *wire.children}


def test_each_has_a_section_with_an_example():
    assert re.findall(r"^### 3\.(\d+) (\w+)$", FORMAT, re.M) == [
        (str(number + 1), name) for number, name in enumerate(_in_order_of_sections())]
    for name in NAMES:
        section = re.split(r"^#{2,3} ", FORMAT.split(f" {name}\n", 1)[1], maxsplit=1, flags=re.M)[0]
        assert f"<!-- example {name} -->\nExample: {name}(" in section


def _in_order_of_sections() -> list[str]:
    """Leaves first, then what is made of them; all encodings, each once."""
    order = ["dense", "quantized", "codebook", "bitpacked", "sparse", "lowrank", "dct", "winograd"]
    assert sorted(order) == sorted(NAMES)
    return order


def test_each_is_in_the_grammar():
    grammar = FORMAT.split("### 2.1 Trees", 1)[1].split("```")[1].lower()
    for name in NAMES:
        assert re.search(rf"\b{name}\b", grammar), f"{name} is not in FORMAT.md 2.1"


def test_c_has_the_same():
    entries = macro("encodings/encodings.def", "CMF_ENCODING")
    assert [entry[1] for entry in entries] == NAMES
    assert [entry[0].lower() for entry in entries] == NAMES
    for name in NAMES:
        assert (ROOT / "runtime_c" / "src" / "encodings" / f"{name}.c").is_file()


def test_each_has_a_file_tests_and_goldens():
    for name in NAMES:
        assert (ROOT / "cmf" / "encodings" / f"{name}.py").is_file()
        assert (ROOT / "tests" / "encodings" / f"test_{name}.py").is_file()
    folders = {path.name for path in (ROOT / "tests" / "golden" / "encodings").iterdir()}
    assert folders == set(NAMES)


# ---------------------------------------------------------------- operators and the rest of the format


def test_operators_are_the_same_everywhere():
    names = members("enum", "Op")[1:]
    assert sorted(OPS) == sorted(names)
    files = {path.stem for path in (ROOT / "cmf" / "reference" / "ops").glob("*.py")} - {"__init__"}
    assert files == {module_name(name) for name in names}
    assert all(callable(operator(name).run) for name in names)
    assert sorted(entry[0].lower() for entry in macro("kernels/ops.def", "CMF_OP")) == sorted(n.lower() for n in names)


def test_options_are_those_of_the_schema():
    assert list(OPTION_TABLES) == members("union", "Options")
    for table, names in OPTION_TABLES.items():
        assert list(names) == list(fields(table))
    assert set(OPTIONS_OF.values()) == set(OPTION_TABLES)
    for op, record in OPS.items():
        assert bool(record.options) == (op in OPTIONS_OF)
        assert set(record.options) <= set(OPTION_TABLES[OPTIONS_OF[op]] if op in OPTIONS_OF else ())


def test_types_codecs_and_features():
    assert ["none", *NUMPY_DTYPES] == members("enum", "DType")
    table = dict(re.findall(r"^\| (\d+) \| (\w+) \| a buffer", FORMAT, re.M))
    assert {int(bit): name for bit, name in table.items()} == limits.FEATURES
    assert set(limits.FEATURES.values()) < set(members("enum", "Codec"))
