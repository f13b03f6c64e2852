"""Numbers of FORMAT.md section 1."""

from __future__ import annotations

MAGIC = b"\x89CMF\r\n\x1a\n"
VERSION = (1, 0)
IDENTIFIER = b"CMF1"
PREAMBLE_SIZE = 64
DIGEST_SIZE = 32

ALIGNMENTS = tuple(1 << k for k in range(4, 13))
DEFAULT_ALIGNMENT = 64

#: bit -> name (section 1.4)
FEATURES = {0: "zstd", 1: "rans"}
#: bits that this reader knows how to read
SUPPORTED_FEATURES = 1 << 0

MAX_METADATA = 1 << 30
MAX_RANK = 8
MAX_DIMENSION = 2**31 - 1
MAX_ELEMENTS = 1 << 40
#: values, nodes, buffers, symbols: each
MAX_COUNT = 1 << 20
MAX_NODE_EDGES = 1024
MAX_STRING = 65535
#: spans of all values together: at most this often the decoded bytes of all buffers, and so much more
MAX_SHARING = 16
SHARING_SLACK = 1 << 24
#: decoded bytes of all zstd buffers, where the caller states nothing else
MAX_RESIDENT = 1 << 30
