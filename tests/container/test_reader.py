import json
import struct
from pathlib import Path

import numpy as np
import pytest
from files import large_graph, patched, reseal, small_graph

from cmf.container import Container, inspect, read, to_bytes
from cmf.errors import CmfError, FormatError

DATA = to_bytes(small_graph())
LARGE = to_bytes(large_graph())
PACKED = to_bytes(small_graph(), codec="zstd")


def refusal(data: bytes, **options: object) -> FormatError:
    with pytest.raises(FormatError) as caught:
        read(data, **options)
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 7, 8, 63, 64, 100, len(DATA) // 2, len(DATA) - 1])
def test_every_prefix_is_refused(size):
    assert refusal(DATA[:size]).code in ("E_MAGIC", "E_TRUNCATED")


@pytest.mark.parametrize("offset, form, value, code, what", [
    (0, "B", 0, "E_MAGIC", "not a CMF file"),
    (8, "H", 2, "E_VERSION", "format version 2.0"),
    (12, "I", 48, "E_METADATA", "alignment is 48"),
    (12, "I", 8192, "E_METADATA", "alignment is 8192"),
    (16, "Q", len(DATA) + 1, "E_TRUNCATED", "cut short"),
    (16, "Q", len(DATA) - 1, "E_METADATA", "follow the end"),
    (24, "Q", 1 << 31, "E_LIMIT", "2^30"),
    (32, "Q", 64, "E_METADATA", "data_offset"),
    (40, "Q", 1 << 5, "E_FEATURE", "feature bit 5"),
    (40, "Q", 2, "E_FEATURE", "rans"),
    (52, "B", 1, "E_METADATA", "reserved"),
])
def test_preamble(offset, form, value, code, what):
    changed = bytearray(DATA)
    struct.pack_into("<" + form, changed, offset, value)
    from cmf.container.crc32c import crc32c
    struct.pack_into("<I", changed, 60, crc32c(bytes(changed[:60])))
    error = refusal(bytes(changed))
    assert error.code == code and what in str(error)


def test_minor_versions_are_read():
    assert Container(patched(DATA, 10, "H", 9)).preamble.version == (1, 9)


def test_bytes_after_the_end():
    assert refusal(DATA + b"\0").code == "E_METADATA"


@pytest.mark.parametrize("data", [DATA, PACKED], ids=["raw", "zstd"])
def test_every_flipped_byte_is_noticed(data):
    rng = np.random.default_rng(0)
    for at in range(0, len(data), 3):
        changed = bytearray(data)
        changed[at] ^= 1 << int(rng.integers(8))
        assert refusal(bytes(changed)).code in (
            "E_MAGIC", "E_VERSION", "E_CHECKSUM", "E_FEATURE", "E_TRUNCATED", "E_METADATA", "E_BUFFER", "E_LIMIT")


def test_checksums_are_named():
    metadata = bytearray(DATA)
    metadata[80] ^= 1
    assert "metadata" in str(refusal(bytes(metadata)))
    start, = struct.unpack_from("<Q", LARGE, 32)
    buffer = bytearray(LARGE)
    buffer[start] ^= 1
    assert "SHA-256" in str(refusal(bytes(buffer)))
    assert "buffer 0's checksum" in str(refusal(reseal(buffer)))
    assert read(bytes(buffer), verify=False).name == "large"


def test_any_metadata_is_read_or_refused():
    """Bytes that are no FlatBuffer, or one that says anything: a graph or a CmfError, nothing else."""
    rng = np.random.default_rng(1)
    size, = struct.unpack_from("<Q", DATA, 24)
    refused = 0
    for _ in range(1200):
        changed = bytearray(DATA)
        for _ in range(int(rng.integers(1, 4))):
            at = 64 + int(rng.integers(size))
            changed[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, changed[at] ^ 1 << int(rng.integers(8))]))
        try:
            read(reseal(changed))
        except CmfError:
            refused += 1
    assert refused > 200


def test_padding_must_be_zero():
    container = Container(LARGE)
    end = 64 + container.preamble.metadata_size
    assert end < container.preamble.data_offset
    error = refusal(patched(LARGE, end, "B", 1))
    assert error.code == "E_BUFFER" and "padding" in str(error)


def test_resident_memory_is_limited_before_it_is_taken():
    packed = to_bytes(large_graph(), codec="zstd")
    total = sum(buffer.size for buffer in Container(packed).buffers if buffer.codec == "zstd")
    assert refusal(packed, max_resident=total - 1).code == "E_LIMIT"
    read(packed, max_resident=total)


def test_a_damaged_frame_is_refused():
    container = Container(PACKED)
    at = container.preamble.data_offset + container.buffers[0].offset + container.buffers[0].stored_size - 1
    changed = bytearray(PACKED)
    changed[at] ^= 0x10  # in the frame's own checksum
    with pytest.raises(FormatError) as caught:
        read(bytes(changed), verify=False)
    assert caught.value.code == "E_CODEC"


def test_inspect_tells_what_is_where():
    container = inspect(DATA)
    assert container.producer == "cmf" and container.features == [] and inspect(PACKED).features == ["zstd"]
    fields = {(span.owner, span.field) for span in container.spans()}
    assert {("conv", "mask"), ("conv", "offsets"), ("conv", "values.codes"), ("conv", "values.table"),
            ("classifier", "factor0.codes"), ("classifier", "factor1.scales"), ("bias", "data")} <= fields
    sizes = container.stored_bytes()
    graph = container.graph()
    for name, value in graph.values.items():
        if value.tree is not None:
            assert sizes[name] == value.tree.stored_bytes
    assert sizes["bias"] == 32


def test_what_c_refuses_is_refused_here_too():
    """The corpus of bad files; FlatBuffers whose damage matters to C alone may be read."""
    harmless = {"string-too-long", "string-without-end", "string-without-nul", "table-size-outside"}
    folder = Path(__file__).parents[1] / "golden" / "reject"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest) > 50
    accepted = set()
    for name in manifest:
        try:
            read(folder / name)
            accepted.add(name.split("__")[1].removesuffix(".cmf"))
        except CmfError:
            pass
    assert accepted <= harmless
