"""Sign change."""

from __future__ import annotations

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    return -call.input(0)
