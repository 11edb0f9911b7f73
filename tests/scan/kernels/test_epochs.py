from functools import reduce as fold

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.epochs import EPOCH, Epochs
from trajlab.scan.track import Track
from trajlab.sizes import TILE_ENTRIES


def epochs(rows, starts, cuts=(), **block):
    """Run the kernel over the rows in blocks that end at the cuts."""
    kernel, steps = Epochs(tuple(starts)), np.arange(len(rows))
    parts = [
        reduce([kernel], Block(Track(list(rows[part])), step=part, **block))[0][1]
        for part in np.split(steps, cuts)
        if len(part)
    ]
    actual = kernel.summarize(fold(kernel.merge, parts), rows.shape[1:], None)
    return actual.reshape(len(starts), len(EPOCH))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 3, TILE_ENTRIES + 3])
def test_epochs__agree_with_numpy(rng, dtype, size):
    rows = rng.standard_normal((9, size)).astype(dtype)
    actual = epochs(rows, [0, 2, 7], cuts=[1, 3, 4])
    for number, part in enumerate((rows[:2], rows[2:7], rows[7:])):
        variance = part.astype(np.float64).var(0)
        expected = [len(part), size, variance.mean(), 0, 0, 0]
        np.testing.assert_allclose(actual[number], expected, rtol=1e-12, atol=1e-300)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.sets(st.integers(1, 11)), st.sets(st.integers(1, 11)), st.sets(st.integers(1, 11)),
    st.floats(-8, 8), st.booleans(),
)  # fmt: skip
def test_epochs__where_blocks_end_changes_no_bit(seed, starts, cuts, others, offset, dirty):
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((12, 5)) * 10 ** rng.uniform(-6, 2, 5) + offset).astype(rng.choice(["f4", "f8"]))
    if dirty:
        rows[rng.random(rows.shape) < 0.2] = rng.choice([np.nan, np.inf, -np.inf])
    starts = [0, *sorted(starts)]
    np.testing.assert_array_equal(epochs(rows, starts, sorted(cuts)), epochs(rows, starts, sorted(others)))


def test_epochs__no_mean_drowns_the_variance():
    """Float32 values of a million with changes of one sixteenth, their last digit."""
    rows = (1e6 + np.array([[0], [1], [2], [1]]) / 16).astype(np.float32)
    assert epochs(rows, [0])[0, 2] == np.var([0, 1, 2, 1]) / 256


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1e-30, 3e38])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_epochs__what_stays_has_no_variance(value, dtype):
    assert epochs(np.full((7, 2), value, dtype), [0], cuts=[3])[0].tolist() == [7, 2, 0, 0, 0, 0]


def test_epochs__leave_out_steps_that_are_not_finite_and_entries_that_never_are():
    rows = np.array([[1, 1, np.nan], [3, np.inf, np.nan], [5, 3, -np.inf]], np.float32)
    actual = epochs(rows, [0])
    assert actual[0, :3].tolist() == [3, 2, np.mean([np.var([1, 3, 5]), np.var([1, 3])])]


def test_epochs__of_one_step_have_no_variance():
    assert epochs(np.ones((1, 4)), [0]).tolist() == [[1, 4, 0, 0, 0, 0]]


def test_epochs__of_an_empty_tensor_are_unknown():
    actual = epochs(np.ones((3, 0), np.float32), [0])
    assert actual[0, :2].tolist() == [3, 0] and np.isnan(actual[0, 2])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sets(st.integers(1, 11)), st.sets(st.integers(1, 11)), st.sets(st.integers(1, 11)))
def test_epochs__of_a_sample_have_covariances_that_do_not_depend_on_blocks(seed, starts, cuts, others):
    """Nine taps of 40 entries; 4 entries of each tap were recorded."""
    rng = np.random.default_rng(seed)
    index = np.sort(np.concatenate([rng.choice(40, 4, replace=False) * 9 + tap for tap in range(9)]))
    rows, starts = rng.standard_normal((12, 36)), [0, *sorted(starts)]
    one, other = (epochs(rows, starts, sorted(at), shape=(40, 1, 3, 3), indices=index) for at in (cuts, others))
    np.testing.assert_array_equal(one, other)
    for number, part in enumerate(np.split(rows, starts[1:])):
        variance = part.var(0)
        within = sum(variance[index % 9 == tap].var(ddof=1) * 40 * 36 / 4 for tap in range(9))
        np.testing.assert_allclose(one[number, 3:], [0, 0, within], rtol=1e-9, atol=1e-9)
