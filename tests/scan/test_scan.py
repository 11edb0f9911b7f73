import tracemalloc

import dask
import ml_dtypes
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import trajlab
from trajlab import sizes
from trajlab.errors import BadSetting, MissingData
from trajlab.scan.kernels.distribution import Distribution
from trajlab.scan.kernels.drift_sums import Pairs
from trajlab.scan.kernels.moments import Moments
from trajlab.scan.kernels.zero_transitions import Transitions
from trajlab.scan.scan import at_step, position_of, scan

KERNELS = [Pairs(atol=0.1), Moments(), Distribution((0.1, 0.5), 8)]


def tensor(values, steps=None):
    dims = ("step", "out", "in")[: np.ndim(values)]
    return xr.DataArray(values, {"step": np.arange(len(values)) if steps is None else steps}, dims, "w")


def computed(kernel, array, **keywords):
    table, summary = dask.compute(*scan(kernel, array, **keywords))
    return table.values, summary.values


@settings(max_examples=25, deadline=None)
@given(
    steps=st.integers(1, 9),
    shape=st.tuples(st.integers(0, 40), st.integers(1, 30)),
    step_chunk=st.integers(1, 9),
    other_chunk=st.integers(1, 30),
    block_bytes=st.sampled_from([1, 2000, 1 << 26]),
)
def test_scan__numbers_do_not_depend_on_chunks_or_blocks(steps, shape, step_chunk, other_chunk, block_bytes):
    values = np.random.default_rng(1).standard_normal((steps, *shape)).astype(np.float32)
    plain = tensor(values)
    chunked = plain.chunk({"step": step_chunk, "in": other_chunk})
    for kernel in KERNELS:
        expected = computed(kernel, plain, reference=0)
        before, sizes.BLOCK_BYTES = sizes.BLOCK_BYTES, block_bytes
        try:
            actual = computed(kernel, chunked, reference=0)
        finally:
            sizes.BLOCK_BYTES = before
        for first, second in zip(expected, actual, strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_scan__numbers_do_not_depend_on_the_scheduler(checkpoints, rng, scheduler):
    run = trajlab.open(checkpoints({"w": rng.standard_normal((5, 50, 40)).astype(np.float32)}))
    with dask.config.set(scheduler="sync"):
        expected = computed(Pairs(), run.weights, reference=0)
    with dask.config.set(scheduler=scheduler):
        actual = computed(Pairs(), run.weights, reference=0)
    for first, second in zip(expected, actual, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-12)


def test_scan__takes_any_element_type(rng):
    values = rng.integers(-5, 5, (3, 10))
    for dtype in (np.int8, np.int64, np.float16, np.uint8, np.float64):
        table, _ = scan(Moments(), tensor(values.astype(dtype)))
        np.testing.assert_allclose(table.sel(column="mean"), values.astype(dtype).astype(float).mean(1))


def test_scan__does_not_touch_what_it_reads(rng):
    values = rng.standard_normal((4, 30)).astype(np.float32)
    values.flags.writeable = False
    computed(Distribution((0.5,), 4), tensor(values), reference=0)


def test_scan__few_tasks_for_many_steps(rng):
    run = trajlab.from_arrays({f"l{i}": np.zeros((5000, 10)) for i in range(10)})
    assert len(scan(Pairs(), run.weights, reference=0)[0].__dask_graph__()) < 60


def test_scan__a_reference_of_another_shape(rng):
    with pytest.raises(MissingData, match=r"\(3,\).*\(4,\)"):
        scan(Pairs(), tensor(np.zeros((2, 3))), reference=at_step(tensor(np.zeros((2, 4))), 0))
    with pytest.raises(MissingData, match="no such tensor"):
        scan(Pairs(), {"w": tensor(np.zeros((2, 3)))}, reference={})


@pytest.mark.parametrize(("step", "position"), [(0, 0), (-1, 2), (-3, 0), (9, 1), (30, 2)])
def test_position_of(step, position):
    assert position_of(tensor(np.zeros((3, 1)), [5, 9, 30]), step) == position


@pytest.mark.parametrize("step", [1, 31, -4])
def test_position_of__says_which_steps_are_near(step):
    with pytest.raises(MissingData, match="the nearest 5, 9, 30"):
        position_of(tensor(np.zeros((3, 1)), [5, 9, 30]), step)


@pytest.mark.parametrize("dtype", [complex, object])
def test_scan__takes_real_numbers_only(dtype):
    with pytest.raises(BadSetting, match="w.*not real numbers"):
        scan(Pairs(), tensor(np.zeros((2, 3), dtype)), reference=0)


def test_scan__gradients_that_do_not_fit_their_weights_are_refused():
    gradient, weight = tensor(np.zeros((2, 300))), tensor(np.zeros((2, 3)))
    with pytest.raises(BadSetting, match="w .*3 entries.*300"):
        scan(Transitions((0.1,)), gradient, weight=weight)
    sampled = tensor(np.zeros((2, 2))).rename(out="sample").assign_coords(index=("sample", [0, 3]))
    with pytest.raises(BadSetting, match="position 3"):
        scan(Transitions((0.1,)), sampled, weight=weight)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float32, np.float64])
def test_scan__numbers_do_not_depend_on_where_rows_lie_or_how_many_tiles_are_read_at_once(
    tmp_path, monkeypatch, rng, dtype
):
    rows = rng.standard_normal((4, 129, 260))
    rows[2] = rows[1]
    rows[:, 0, :9], rows[1, 70, 3:6] = 0.0, (np.nan, np.inf, -np.inf)
    rows[3, 0, :5], rows[3, 128, 259] = -0.0, 1e-42
    rows = rows.astype(dtype)
    for step, row in enumerate(rows):
        save_file({"w": row, "empty": row[:0]}, tmp_path / f"model-{step}.safetensors")
    run = trajlab.open(tmp_path)
    for kernel in (*KERNELS, Transitions((0.1,), (0.5,))):
        expected = computed(kernel, tensor(run.weights["w"].values), reference=0)
        for window in (1, 1 << 18, 1 << 30):
            monkeypatch.setattr(sizes, "WINDOW_ENTRIES", window)
            for actual, right in zip(computed(kernel, run.weights["w"], reference=0), expected, strict=True):
                np.testing.assert_array_equal(actual, right)
        assert len(computed(kernel, run.weights["empty"], reference=0)[0]) == 4


@pytest.mark.parametrize("kernel", [Pairs(), Moments(), Distribution((0.1, 0.5), 8)])
@pytest.mark.parametrize("center", [0.0, 1.0])
def test_scan__keeps_less_than_a_byte_for_each_entry_of_a_long_tensor(tmp_path, monkeypatch, rng, kernel, center):
    """Widened, one row would be four bytes an entry; around 1 its bins are split, so that it is read once more."""
    monkeypatch.setattr(sizes, "ROW_PIECE_ENTRIES", 1 << 16)
    size = 1 << 22
    first = (center + 1e-2 * rng.standard_normal(size, np.float32)).astype(ml_dtypes.bfloat16)
    for step in range(3):
        save_file({"w": np.roll(first, step).reshape(2048, -1)}, tmp_path / f"model-{step}.safetensors")
    weight = trajlab.open(tmp_path).weights["w"]
    scanned = scan(kernel, weight, reference=0)
    dask.compute(*scanned, scheduler="sync")
    tracemalloc.start()
    dask.compute(*scanned, scheduler="sync")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size
