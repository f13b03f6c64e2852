"""1 / x."""

from __future__ import annotations

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    return 1 / call.input(0)
