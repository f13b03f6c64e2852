"""The dimensions from `start` to `end` as i64."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    rank = call.input(0).ndim
    start, end = int(call.option("start")), int(call.option("end"))
    start, end = (min(max(v + rank if v < 0 else v, 0), rank) for v in (start, end))
    return np.asarray(call.input(0).shape[start:end], np.int64)
