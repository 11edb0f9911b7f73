import numpy as np
import pytest

from trajlab.record.sampling import sample_indices


def test_sample_indices__covers_every_tap_of_a_kernel_evenly():
    indices = sample_indices("conv", (64, 32, 3, 3), 4096)
    counts = np.bincount(indices % 9, minlength=9)
    assert counts.sum() == 4096
    assert set(counts) == {4096 // 9, 4096 // 9 + 1}


@pytest.mark.parametrize("shape", [(10, 500), (7, 3, 5), (6, 4, 7, 7), (2, 3, 2, 3, 4), (4000,), (1, 2, 50, 50)])
def test_sample_indices__are_distinct_sorted_and_in_range(shape):
    indices = sample_indices("w", shape, 101)
    assert indices.dtype == np.int64
    assert len(indices) == 101
    assert (np.diff(indices) > 0).all()
    assert 0 <= indices[0] and indices[-1] < np.prod(shape)


def test_sample_indices__fewer_entries_than_taps_gives_distinct_taps():
    indices = sample_indices("conv", (64, 32, 7, 7), 20)
    assert len(set(indices % 49)) == 20


def test_sample_indices__keeps_small_tensors_whole():
    assert list(sample_indices("bias", (4,), 10)) == [0, 1, 2, 3]
    assert list(sample_indices("scalar", (), 10)) == [0]
    assert len(sample_indices("empty", (0, 3), 10)) == 0


def test_sample_indices__depend_on_seed_name_and_nothing_global():
    first = sample_indices("w", (100, 100), 50, seed=3)
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert (sample_indices("w", (100, 100), 50, seed=3) == first).all()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert (sample_indices("w", (100, 100), 50, seed=4) != first).any()
    assert (sample_indices("v", (100, 100), 50, seed=3) != first).any()


@pytest.mark.parametrize("shape", [(40,), (5, 8), (5, 4, 2)])
def test_sample_indices__gives_each_entry_the_same_chance(shape):
    draws = np.concatenate([sample_indices("w", shape, 10, seed=seed) for seed in range(4000)])
    counts = np.bincount(draws, minlength=40)
    assert abs(counts / 4000 - 10 / 40).max() < 5 * np.sqrt(0.25 * 0.75 / 4000)
