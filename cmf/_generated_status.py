# Generated from runtime_c/include/cmf.h by tools/gen_schema.py: do not edit.
"""The C library's status codes (``CMF_STATUS_MAP``) and their texts."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    OK = 0
    E_ARGUMENT = 1
    E_MEMORY = 2
    E_IO = 3
    E_CAPACITY = 4
    E_SHAPE = 5
    E_DTYPE = 6
    E_STATE = 7
    E_MAGIC = 10
    E_VERSION = 11
    E_FEATURE = 12
    E_TRUNCATED = 13
    E_CHECKSUM = 14
    E_METADATA = 15
    E_LIMIT = 16
    E_BUFFER = 17
    E_ENCODING = 18
    E_GRAPH = 19
    E_UNSUPPORTED = 20
    E_CODEC = 21


STATUS_TEXT: dict[Status, str] = {
    Status.OK: "ok",
    Status.E_ARGUMENT: "the caller passed a wrong argument",
    Status.E_MEMORY: "not enough memory",
    Status.E_IO: "the file could not be read",
    Status.E_CAPACITY: "more than the stated maximum",
    Status.E_SHAPE: "shapes do not fit",
    Status.E_DTYPE: "data types do not fit",
    Status.E_STATE: "called in the wrong order",
    Status.E_MAGIC: "not a CMF file",
    Status.E_VERSION: "the file needs a newer reader",
    Status.E_FEATURE: "the file needs a feature that this build lacks",
    Status.E_TRUNCATED: "the file is cut short",
    Status.E_CHECKSUM: "a checksum does not match: the file is damaged",
    Status.E_METADATA: "the metadata block is malformed",
    Status.E_LIMIT: "a limit of the format is exceeded",
    Status.E_BUFFER: "a buffer or span lies outside its place",
    Status.E_ENCODING: "a weight's encoding is malformed",
    Status.E_GRAPH: "the graph is malformed",
    Status.E_UNSUPPORTED: "valid, but not supported by this build",
    Status.E_CODEC: "a compressed buffer could not be decoded",
}
