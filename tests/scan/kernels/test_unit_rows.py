import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.unit_rows import Units
from trajlab.scan.track import Track


def marks(kernel, rows, previous=None, **block):
    ((actual, _),) = reduce([kernel], Block(Track(list(rows), previous), **block))
    return actual


def in_blocks(kernel, rows, size, **more):
    """The same rows in blocks of a few steps each."""
    parts = [
        marks(kernel, rows[start : start + size], previous=rows[start - 1] if start else None, **more)
        for start in range(0, len(rows), size)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("shape", [(3, 4), (5, 2, 3, 3), (7,), (1, 30_000), (2, 8191), (300, 100)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_units__marks_those_with_a_nonzero_entry(rng, shape, dtype):
    rows = rng.standard_normal((6, *shape)).astype(dtype)
    rows[rng.random(rows.shape) < 0.5] = 0
    rows[2] = 0
    rows[3, 0] = 0
    rows[4] = 0
    rows[(4, *(n - 1 for n in shape))] = 1e-30

    actual = marks(Units(shape[0], int(np.prod(shape)), "nonzero"), rows.reshape(6, -1))

    np.testing.assert_array_equal(actual, (rows != 0).reshape(6, shape[0], -1).any(-1))


@pytest.mark.parametrize("shape", [(3, 4), (1, 30_000), (2, 8191), (300, 100)])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_units__marks_those_that_changed_whatever_the_blocks(rng, shape, size):
    rows = np.repeat(rng.standard_normal((1, *shape)), 5, axis=0).astype(np.float32)
    rows[1:, 0, -1] += 1
    rows[3, -1, 0] = 7
    rows[4] = rows[3]

    actual = in_blocks(Units(shape[0], int(np.prod(shape)), "changed"), rows.reshape(5, -1), size)

    assert np.isnan(actual[0]).all()
    np.testing.assert_array_equal(actual[1:], (rows[1:] != rows[:-1]).any(-1))


def test_units__nan_and_inf_are_gradients_and_a_negative_zero_is_none():
    rows = np.array([[0.0, np.nan], [-0.0, 0.0], [0.0, -np.inf], [1e-45, 0.0]], np.float32).reshape(1, -1)

    assert marks(Units(4, 8, "nonzero"), rows).tolist() == [[1, 0, 1, 1]]


def test_units__a_sign_of_zero_and_a_nan_that_stays_are_told_by_their_bits():
    rows = np.array([[0.0, np.nan], [-0.0, np.nan]], np.float32)

    assert marks(Units(2, 2, "changed"), rows)[1].tolist() == [1, 0]


@pytest.mark.parametrize("count", [5, 40])
def test_units__sampled_entries_are_traced_to_their_units(rng, count):
    shape = (6, 4, 3, 3)
    whole = rng.standard_normal((3, *shape)).astype(np.float32) * (rng.random((3, *shape)) < 0.3)
    indices = np.sort(rng.choice(whole[0].size, count, replace=False))
    sampled = np.ascontiguousarray(whole.reshape(3, -1)[:, indices])

    actual = marks(Units(6, whole[0].size, "nonzero"), sampled, indices=indices)

    for unit in range(6):
        of_unit = indices // 36 == unit
        expected = (sampled[:, of_unit] != 0).any(1) if of_unit.any() else np.full(3, np.nan)
        np.testing.assert_array_equal(actual[:, unit], expected)
    assert np.isnan(actual).any() == (count == 5)
