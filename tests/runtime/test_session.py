"""Sessions over numpy arrays: what they take, what they give, what they say when it does not fit."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from small_files import Case

import cmf
from cmf.errors import CmfError, FormatError, ShapeError
from cmf.runtime import File, Options, isa_levels

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 8)).astype(np.float32)


def close(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_every_way_to_give_an_input(linear: Case) -> None:
    run = cmf.load(linear.path)
    for given in (run(X), run(x=X), run({"x": X}), run.run({"x": X})["y"], run(X.tolist())):
        assert isinstance(given, np.ndarray) and given.dtype == np.float32 and given.shape == (3, 5)
        close(given, linear.answer(X))


def test_inputs_need_not_be_contiguous(linear: Case) -> None:
    wide = RNG.normal(size=(8, 6)).astype(np.float32)
    close(cmf.load(linear.path)(wide[:, ::2].T), linear.answer(wide[:, ::2].T))


def test_outputs_are_the_callers_own(linear: Case) -> None:
    run = cmf.load(linear.path)
    first = run(X)
    kept = first.copy()
    run(X + 1)
    np.testing.assert_array_equal(first, kept)
    first[:] = 0  # writable
    close(run(X), linear.answer(X))


def test_several_outputs_come_by_name(two: Case) -> None:
    a, ids = np.ones((4, 3), np.float32), np.array([9, 0, 3, 3])
    result = cmf.load(two.path)(a, ids)
    assert isinstance(result, dict) and list(result) == ["doubled", "rows"]
    close(result["doubled"], 2 * a)
    close(result["rows"], two.answer(a, ids))


def test_a_mapping_and_keywords_in_any_order(two: Case) -> None:
    a, ids = np.ones((1, 3), np.float32), [7]
    run = cmf.load(two.path)
    for result in (run({"ids": ids, "a": a}), run(ids=ids, a=a), run(a, ids=ids)):
        close(result["rows"], two.answer(a, ids))


def test_information(linear: Case) -> None:
    run = cmf.load(linear.path)
    (x,), (y,) = run.inputs, run.outputs
    assert (x.name, x.dtype, x.shape, x.affine) == ("x", np.float32, ("N", 8), None)
    assert (y.name, y.shape) == ("y", ("N", 5))
    (weight,) = run.weights()
    assert (weight.name, weight.stack, weight.outputs, weight.inputs) == ("w", 1, 5, 8)
    assert run.file.file_bytes == linear.path.stat().st_size
    assert "x float32 [N, 8] -> y float32 [N, 5]" in repr(run)
    close(run.decode_weight("w")[0].T, run.decode_weight(0)[0].T)
    close(linear.answer(np.eye(8, dtype=np.float32)) - linear.answer(np.zeros((8, 8), np.float32)),
          run.decode_weight("w")[0].T)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("given, code, message", [
    (lambda r: r(X.astype(np.float64)), "E_DTYPE", r"'x' is float64, the model expects x float32 \[N, 8\].*astype"),
    (lambda r: r(X.astype(np.float16)), "E_DTYPE", "'x' is float16"),
    (lambda r: r(X.astype(">f4")), "E_DTYPE", "'x' is float32"),
    (lambda r: r(np.arange(8)[None]), "E_DTYPE", "'x' is int64"),
    (lambda r: r(X[0]), "E_SHAPE", r"'x' has shape \[8\], the model expects x float32 \[N, 8\]"),
    (lambda r: r(X[:, :7]), "E_SHAPE", r"'x' has shape \[3, 7\]: dimension 1 is 7, the model expects x float32"),
    (lambda r: r(["a"] * 8), "E_DTYPE", "numbers that float32 does not keep"),
    (lambda r: r([[1.0], [1.0, 2.0]]), "E_SHAPE", "'x' is no array"),
    (lambda r: r([[1e300] * 8]), "E_DTYPE", "does not keep"),
    (lambda r: r([[2**24 + 1] * 8]), "E_DTYPE", "does not keep"),
    (lambda r: r(), "E_ARGUMENT", r"input 'x' is missing; the model expects: x float32 \[N, 8\]"),
    (lambda r: r(X, X), "E_ARGUMENT", "2 inputs given, the model has 1"),
    (lambda r: r(X, x=X), "E_ARGUMENT", "'x' is given twice"),
    (lambda r: r(z=X), "E_ARGUMENT", r"no input is called 'z'; the model expects: x"),
    (lambda r: r.plan(z=(1,)), "E_ARGUMENT", "no input is called 'z'"),
    (lambda r: r.plan(), "E_SHAPE", "say the shape of input 'x'"),
    (lambda r: r.plan(x=(1, 9)), "E_SHAPE", "dimension 1 is 9"),
    (lambda r: r.plan(x=(1, 8)).input("y"), "E_ARGUMENT", "no input is called 'y'; there is: x"),
    (lambda r: r.decode_weight("v"), "E_ARGUMENT", "no weight is called 'v'; the file has: w"),
    (lambda r: r.decode_weight(1), "E_ARGUMENT", "weight 1 does not exist"),
])
def test_what_does_not_fit_is_said(linear: Case, given: Any, code: str, message: str) -> None:
    run = cmf.load(linear.path)
    with pytest.raises(CmfError, match=message) as caught:
        given(run)
    assert caught.value.code == code
    close(run(X), linear.answer(X))  # and the session is as good as before


def test_a_symbol_is_one_number(two: Case) -> None:
    with pytest.raises(ShapeError, match="dimension 'N' is 2 in input 'a' and 3 in input 'ids'"):
        cmf.load(two.path)(np.ones((2, 3), np.float32), np.zeros(3, np.int64))


def test_an_index_out_of_range_is_an_error_and_not_a_crash(two: Case) -> None:
    run = cmf.load(two.path)
    a = np.ones((1, 3), np.float32)
    with pytest.raises(CmfError):
        run(a, [10])
    close(run(a, [9])["rows"], two.answer(a, [9]))


@pytest.mark.parametrize("options, message", [
    ({"threads": 0}, "threads must be an integer from 1 to 1024, not 0"),
    ({"isa": "sse9"}, "instruction set 'sse9' is not available here; there is: scalar"),
    ({"policy": "quick"}, "policy must be 'compact' or 'fast'"),
    ({"max_memory": 0}, "max_memory must be a positive integer"),
    ({"treads": 2}, "options of a session are: threads, isa"),
    ({"verify": "maybe"}, "verify must be 'structure' or 'full'"),
])
def test_wrong_options(linear: Case, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CmfError, match=message):
        cmf.load(linear.path, **options)


def test_maxima_are_kept(linear: Case) -> None:
    for maximum in ({"max_memory": 64}, {"max_work": 1}):
        with pytest.raises(CmfError) as caught:
            cmf.load(linear.path, **maximum)(X)
        assert caught.value.code == "E_CAPACITY"


# ---------------------------------------------------------------- files


def test_files_and_bytes(linear: Case) -> None:
    data = linear.path.read_bytes()
    shifted = memoryview(b"\0" + data)[1:]  # not aligned: copied
    for source in (linear.path, str(linear.path), data, bytearray(data), memoryview(data), shifted):
        for verify in ("structure", "full"):
            close(cmf.load(source, verify=verify)(X), linear.answer(X))


@pytest.mark.parametrize("change, code", [
    (lambda d: b"", "E_TRUNCATED"),
    (lambda d: b"PK\3\4" + d[4:], "E_MAGIC"),
    (lambda d: d[:-1], "E_TRUNCATED"),
    (lambda d: d[:20] + b"\1" + d[21:], "E_CHECKSUM"),
])
def test_damaged_files(linear: Case, change: Any, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        File(change(linear.path.read_bytes()))
    assert caught.value.code in (code, "E_TRUNCATED", "E_MAGIC")


def test_full_verification_sees_a_flipped_weight(linear: Case) -> None:
    data = bytearray(linear.path.read_bytes())
    data[-40] ^= 1
    with pytest.raises(FormatError) as caught:
        File(bytes(data), verify="full")
    assert caught.value.code == "E_CHECKSUM"


def test_a_missing_file(tmp_path: Any) -> None:
    with pytest.raises(CmfError, match="none.cmf") as caught:
        cmf.load(tmp_path / "none.cmf")
    assert caught.value.code == "E_IO"


def test_compressed_buffers_are_inflated_within_their_bound(packed: Case) -> None:
    x = RNG.integers(-4, 4, (1, 256)).astype(np.float32)
    run = cmf.load(packed.path)
    np.testing.assert_array_equal(run(x), packed.answer(x))
    assert run.file.resident_bytes >= 256 * 16 * 4 > run.file.file_bytes
    with pytest.raises(CmfError) as caught:
        cmf.load(packed.path, max_resident=256 * 16 * 4 - 1)
    assert caught.value.code in ("E_LIMIT", "E_CAPACITY", "E_MEMORY")


# ---------------------------------------------------------------- plans, memory, threads


def test_plans_are_kept_and_the_oldest_goes(linear: Case) -> None:
    run = cmf.load(linear.path, plans=2)
    assert run.footprint is None
    for rows in (1, 2, 1, 3, 1, 2, 40):
        x = RNG.normal(size=(rows, 8)).astype(np.float32)
        close(run(x), linear.answer(x))
        assert len(run._plans) <= 2
    assert run.footprint is not None and run.footprint.total > 0 and run.footprint.work >= 40 * 8 * 5
    with run:
        pass
    assert not run._plans
    close(run(X), linear.answer(X))  # plans anew


def test_views_run_without_copies_and_outlive_the_session(linear: Case) -> None:
    plan = cmf.load(linear.path).plan(x=(3, 8))
    x, y = plan.input("x"), plan.output("y")
    x[:] = X
    plan.run()
    close(y, linear.answer(X))
    x += 1
    plan.run()
    close(y, linear.answer(X + 1))
    used = plan.footprint.scratch_used
    assert used <= plan.footprint.scratch
    del plan
    gc.collect()
    close(y, linear.answer(X + 1))
    x[:] = 0


def test_every_instruction_set_and_several_threads_agree(linear: Case) -> None:
    for level in isa_levels():
        for threads in (1, 2):
            for policy in ("compact", "fast"):
                close(cmf.load(linear.path, isa=level, threads=threads, policy=policy)(X), linear.answer(X))


def test_a_session_is_shared_between_threads_in_turns(linear: Case) -> None:
    run = cmf.load(linear.path)
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(50):
            x = rng.normal(size=(rng.integers(1, 6), 8)).astype(np.float32)
            if not np.allclose(run(x), linear.answer(x), rtol=1e-5, atol=1e-5):
                wrong.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_sessions_share_a_file_and_keep_it_alive(linear: Case) -> None:
    file = File(linear.path.read_bytes())
    one, other = file.session(), file.session(threads=2)
    del file
    gc.collect()
    close(one(X), linear.answer(X))
    del one
    close(other(X), linear.answer(X))


def test_nothing_is_reported_when_the_interpreter_ends(linear: Case, tmp_path: Path) -> None:
    code = (f"import cmf, numpy as np\nrun = cmf.load({str(linear.path)!r})\nrun(np.ones((1, 8), np.float32))\n"
            "plan = run.plan(x=(2, 8)); view = plan.output('y')\nimport sys; sys.keep = [plan, run]")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_options_are_plain_data() -> None:
    assert Options(threads=2) == Options(threads=2) != Options()


def test_python_numbers_fit_exactly_or_not_at_all(two: Case) -> None:
    run = cmf.load(two.path)
    for ids in ([1], [True], [np.int64(1)], np.array([1])):
        close(run([[1, 2, 3]], ids)["doubled"], [[2, 4, 6]])
    for ids in ([1.5], [2**70], np.array([1], np.int32)):
        with pytest.raises(ShapeError, match="'ids'"):
            run([[1, 2, 3]], ids)
    with pytest.raises(ShapeError, match="bfloat16"):
        run(np.ones((1, 3), ml_dtypes.bfloat16), [1])
