import dask.array as da
import numpy as np
import pytest
import xarray as xr

from trajlab.statistics.next_tokens import IGNORED, next_tokens, with_next_tokens


def probe(inputs, targets):
    return xr.Dataset({"inputs": (("sample", "i"), inputs), "targets": (("sample", "t"), targets)})


@pytest.mark.parametrize("lazy", [False, True])
def test_with_next_tokens__shifts_labels_that_are_the_inputs(rng, lazy, no_compute):
    tokens = rng.integers(9, size=(4, 5))
    wrap = da.from_array if lazy else np.asarray
    with no_compute():
        shifted = with_next_tokens(probe(wrap(tokens), wrap(tokens)))
    np.testing.assert_array_equal(shifted.targets[:, :-1], tokens[:, 1:])
    assert (shifted.targets[:, -1] == IGNORED).all()


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (np.array([[1, 2, 3]]), np.array([[2, 3, 4]])),
        (np.array([[1, 2, 3]]), np.array([[-100, -100, -100]])),
        (np.array([[1], [2]]), np.array([[1], [2]])),
        (np.array([[1.0, 2.0]]), np.array([[1, 2]])),
    ],
)
def test_with_next_tokens__leaves_all_other_targets(inputs, targets):
    np.testing.assert_array_equal(with_next_tokens(probe(inputs, targets)).targets, targets)


def test_next_tokens__ignored_labels_stay_ignored():
    shifted = next_tokens(np.array([[5, 6, 7, 8]]), np.array([[-100, 6, -100, 8]], np.int32))
    assert shifted.tolist() == [[6, -100, 8, -100]] and shifted.dtype == np.int64


def test_with_next_tokens__a_probe_without_targets_is_left():
    alone = xr.Dataset({"inputs": ("sample", np.arange(3))})
    assert with_next_tokens(alone) is alone
