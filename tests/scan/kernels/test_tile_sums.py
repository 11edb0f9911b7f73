import ml_dtypes
import numpy as np
import pytest

from trajlab.runs.disk.element_types import widen
from trajlab.runs.disk.rows import Rows
from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.distribution import Distribution
from trajlab.scan.kernels.drift_sums import Pairs
from trajlab.scan.kernels.moments import Moments
from trajlab.scan.kernels.tile_sums import add_tiles
from trajlab.scan.track import Track
from trajlab.sizes import SHORT_ENTRIES, TILE_ENTRIES

KERNELS = [Pairs(), Moments(), Distribution((0.25, 0.5), 16)]
SIZE = SHORT_ENTRIES + 2 * TILE_ENTRIES + 13


@pytest.fixture
def coarse(tmp_path, rng):
    """Rows of bfloat16 in one file, with zeros of both signs, tied entries, NaN and Inf, and entries that stay."""
    values = rng.standard_normal((4, SIZE)).astype(ml_dtypes.bfloat16)
    values[:, 5:900] = values[0, 5:900]
    values[1, :2000:3], values[2, 1:2000:3] = 0.0, -0.0
    values[2, -3:] = np.nan, np.inf, -np.inf
    (tmp_path / "rows").write_bytes(values.tobytes())
    offset = np.arange(4) * SIZE * 2
    return Rows((str(tmp_path / "rows"),), np.zeros(4, np.int32), offset, (SIZE,), values.dtype), widen(values)


def same(first, second):
    for (columns, total), (other_columns, other_total) in zip(first, second, strict=True):
        np.testing.assert_array_equal(columns, other_columns)
        np.testing.assert_array_equal(total, other_total)


def test_add_tiles__bits_of_bfloat16_give_what_floats_give(coarse):
    rows, values = coarse
    stored = Block(Track(rows[1:], rows[:1], rows[:1]).opened({}))
    assert stored.of_bits().rows.bits.dtype == np.int16
    same(reduce(KERNELS, stored), reduce(KERNELS, Block(Track(list(values[1:]), values[0], values[0]))))


def test_add_tiles__kernels_that_share_the_loop_change_no_bit(coarse):
    _, values = coarse
    block = Block(Track(list(values), None, values[0]))
    same(reduce(KERNELS, block), [reduce([kernel], block)[0] for kernel in KERNELS])


def test_add_tiles__a_second_kernel_of_a_kind_gets_sums_of_its_own(coarse):
    _, values = coarse
    block = Block(Track(list(values), None, values[0]))
    kernels = [Pairs(), Pairs(atol=0.5)]
    (exact, _), (tolerant, _) = actual = reduce(kernels, block)
    same(actual, [reduce([kernel], block)[0] for kernel in kernels])
    assert not np.array_equal(exact, tolerant, equal_nan=True)


@pytest.mark.parametrize("position", [0, 2])
def test_add_tiles__a_reference_that_is_one_of_the_rows_is_counted_once(coarse, position):
    _, values = coarse
    own, copied = values[position], values[position].copy()
    results = [reduce(KERNELS, Block(Track(list(values), None, row))) for row in (own, copied)]
    same(*results)


def test_add_tiles__adds_to_what_is_there_already(rng):
    row = rng.standard_normal(TILE_ENTRIES).astype(np.float32)
    track, kernel = Track([row]), Moments()
    sums = kernel.start(Block(track), None)
    for _ in range(2):
        add_tiles(track, 0, row.size, moments=sums)
    assert sums[0, 0] == 2 * row.size
    np.testing.assert_allclose(sums[0, 1], row.mean(dtype=np.float64), rtol=1e-9)


def test_add_tiles__differences_need_a_reference():
    with pytest.raises(ValueError, match="there is none"):
        reduce([Pairs()], Block(Track([np.zeros(3, np.float32)])))
