"""Byte codecs of buffers (FORMAT.md 1.2)."""

from __future__ import annotations

import zstandard

from cmf.errors import FormatError

#: slow to write, small to store; reading does not depend on it
ZSTD_LEVEL = 15
#: "auto" keeps a buffer compressed where that saves at least this part of it: a compressed buffer is decoded into
#: memory when the file is opened, a raw one is used where it lies
AUTO_SAVING = 1 / 8


def compress(data: bytes, codec: str) -> tuple[str, bytes]:
    """Encodes one buffer; returns the codec kept (``raw`` where zstd does not pay) and the stored bytes."""
    if codec == "raw" or not data:
        return "raw", data
    packed = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True, write_content_size=True).compress(data)
    limit = len(data) * (1 - AUTO_SAVING) if codec == "auto" else len(data) - 1
    return ("zstd", packed) if len(packed) <= limit else ("raw", data)


def decompress_zstd(data: bytes | memoryview, size: int, what: str) -> bytes:
    """Decodes one frame into exactly ``size`` bytes."""
    try:
        parameters = zstandard.get_frame_parameters(data)
        if parameters.content_size != size:
            raise FormatError(f"{what}: the zstd frame holds {parameters.content_size} bytes, not {size}", "E_CODEC")
        if not parameters.has_checksum:
            raise FormatError(f"{what}: a zstd frame without a checksum", "E_CODEC")
        decoder = zstandard.ZstdDecompressor().decompressobj()
        decoded = decoder.decompress(data)
        if not decoder.eof or decoder.unused_data or len(decoded) != size:
            raise FormatError(f"{what}: not exactly one zstd frame of {size} bytes", "E_CODEC")
        return decoded
    except zstandard.ZstdError as error:
        raise FormatError(f"{what}: {error}", "E_CODEC") from error
