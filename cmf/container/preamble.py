"""The first 64 bytes of a file (FORMAT.md 1.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cmf.container import limits
from cmf.container.crc32c import crc32c
from cmf.errors import FormatError

_LAYOUT = struct.Struct("<8sHHIQQQQI8x")


@dataclass(frozen=True)
class Preamble:
    """What the preamble says; ``metadata_crc`` is the CRC-32C of the metadata block."""

    alignment: int
    file_size: int
    metadata_size: int
    data_offset: int
    features: int
    metadata_crc: int
    version: tuple[int, int] = limits.VERSION

    def pack(self) -> bytes:
        head = _LAYOUT.pack(limits.MAGIC, *self.version, self.alignment, self.file_size, self.metadata_size,
                            self.data_offset, self.features, self.metadata_crc)
        return head + struct.pack("<I", crc32c(head))

    @staticmethod
    def unpack(data: bytes | memoryview, size: int) -> Preamble:
        """Reads and checks the preamble of a file of ``size`` bytes. Raises FormatError."""
        if bytes(data[: len(limits.MAGIC)]) != limits.MAGIC[: len(data)] or not len(data):
            raise FormatError("not a CMF file: it does not begin with the magic", "E_MAGIC")
        if len(data) < limits.PREAMBLE_SIZE:
            raise FormatError(f"the file is cut short: {size} bytes, the preamble alone has 64", "E_TRUNCATED")
        if crc32c(data[:60]) != struct.unpack("<I", data[60:64])[0]:
            raise FormatError("the preamble's checksum does not match: the file is damaged", "E_CHECKSUM")
        _, major, minor, alignment, file_size, metadata_size, data_offset, features, crc = _LAYOUT.unpack(data[:60])
        if major != limits.VERSION[0]:
            raise FormatError(f"the file has format version {major}.{minor}; this reader knows version 1", "E_VERSION")
        if bytes(data[52:60]) != bytes(8):
            raise FormatError("reserved bytes of the preamble are not zero", "E_METADATA")
        _check_features(features)
        if alignment not in limits.ALIGNMENTS:
            raise FormatError(f"alignment is {alignment}; it must be a power of two from 16 to 4096", "E_METADATA")
        if file_size > size:
            raise FormatError(f"the file is cut short: {size} bytes of {file_size}", "E_TRUNCATED")
        if file_size < size:
            raise FormatError(f"{size - file_size} bytes follow the end of the file", "E_METADATA")
        if metadata_size > limits.MAX_METADATA:
            raise FormatError(f"the metadata block has {metadata_size} bytes; the limit is 2^30", "E_LIMIT")
        if data_offset != align(limits.PREAMBLE_SIZE + metadata_size, alignment):
            raise FormatError(f"data_offset is {data_offset}; it must follow the metadata block, aligned", "E_METADATA")
        if data_offset + limits.DIGEST_SIZE > file_size:
            raise FormatError("the metadata block does not fit the file", "E_TRUNCATED")
        return Preamble(alignment, file_size, metadata_size, data_offset, features, crc, (major, minor))


def _check_features(features: int) -> None:
    for bit in range(64):
        if features >> bit & 1 and not limits.SUPPORTED_FEATURES >> bit & 1:
            name = f" ({limits.FEATURES[bit]})" if bit in limits.FEATURES else ""
            raise FormatError(f"the file needs feature bit {bit}{name}, which this reader lacks", "E_FEATURE")


def align(offset: int, alignment: int) -> int:
    """The next multiple of ``alignment``."""
    return -(-offset // alignment) * alignment
