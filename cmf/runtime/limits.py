"""What this machine reaches, measured: the rulers of ``cmf bench``.

Both are figures of numpy's BLAS, not of this library: the rate of its f32 matrix product (a little below what the
processor could do), and the rate of its dot product over a block of given size (reads limited by the memory that the
block fits into). They are taken in a process of their own, because BLAS takes its number of threads when it is loaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from cmf.errors import CmfError

_SIDE = 768  # of the matrices: 2.4 MB each
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_SECONDS = 0.4  # for each figure


@dataclass(frozen=True)
class Limits:
    """f32 operations (two a multiply-add) and bytes read from a block of ``block_bytes``, each a second."""

    threads: int
    f32_ops: float
    read_bytes: float
    block_bytes: int


def measure(threads: int, block_bytes: int) -> Limits | None:
    """The limits for a number of threads; None where they cannot be had: BLAS takes more threads than it is told."""
    arguments = [sys.executable, "-m", __name__, str(threads), str(max(block_bytes, 1 << 20))]
    environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CmfError(f"the machine's limits could not be measured (see --no-limits): {done.stderr.strip()[-200:]}")
    found = json.loads(done.stdout)
    return None if found is None else Limits(**found)


def _best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of many calls."""
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def _probe(threads: int, block_bytes: int) -> Limits | None:
    rng = np.random.default_rng(0)
    a, b = (rng.random((_SIDE, _SIDE), dtype=np.float32) for _ in range(2))
    block = np.ones(block_bytes // 4, np.float32)
    a @ b, block @ block
    wall, used = time.perf_counter(), time.process_time()
    product = _best(lambda: a @ b)
    wall, used = time.perf_counter() - wall, time.process_time() - used
    if used > 1.3 * threads * wall:
        return None
    return Limits(threads, 2 * _SIDE**3 / product, block.nbytes / _best(lambda: block @ block), block.nbytes)


if __name__ == "__main__":
    found = _probe(int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps(found and asdict(found)))
