"""The file: preamble, metadata and data section (FORMAT.md section 1), written and read without the C library."""

from cmf.container.reader import Container, inspect, read
from cmf.container.writer import to_bytes, write

__all__ = ["Container", "inspect", "read", "to_bytes", "write"]
