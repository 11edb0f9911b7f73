import dask.array as da
import numpy as np
import pytest
import xarray as xr

from trajlab import sizes
from trajlab.scan.step_products import principal_components


def walk(rng, steps, size, **attrs):
    values = rng.standard_normal((len(steps), size)).cumsum(0)
    return xr.DataArray(values, {"step": list(steps)}, ("step", "entry"), "w", attrs)


def by_svd(values, count, center="mean"):
    deviations = values - (values.mean(0) if center == "mean" else values[-1])
    left, singular, _ = np.linalg.svd(deviations, full_matrices=False)
    return (singular**2 / (singular**2).sum())[:count], left[:, :count] * singular[:count]


@pytest.mark.parametrize("center", ["mean", "last"])
@pytest.mark.parametrize("span", [1, 1 << 26])
def test_principal_components__agree_with_numpy(rng, monkeypatch, center, span):
    monkeypatch.setattr(sizes, "SPAN_BYTES", span)
    array = walk(rng, [0, 3, 4, 9], 700)
    result = principal_components(array, 2, center, [3, 8]).compute()
    shares, scores = by_svd(array.values, 2, center)
    np.testing.assert_allclose(result.explained_variance_ratio, shares, rtol=1e-9)
    np.testing.assert_allclose(abs(result.scores), abs(scores), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(result.distance[:, 0], np.linalg.norm(array - array[1], axis=1), atol=1e-9)
    assert np.isnan(result.distance[:, 1]).all() and "parameter" not in result.dims


def test_principal_components__of_all_are_at_the_steps_that_all_have(rng, no_compute):
    tensors = {"a": walk(rng, [0, 2, 4, 6], 5).chunk(entry=2), "b": walk(rng, [2, 3, 6], 7)}
    with no_compute():
        lazy = principal_components(tensors, 1, "mean", [2])
    result = lazy.compute()
    both = np.hstack([tensors["a"].values[[1, 3]], tensors["b"].values[[0, 2]]])
    shares, scores = by_svd(both, 1)
    assert result.step.values.tolist() == [0, 2, 3, 4, 6]
    np.testing.assert_allclose(result.total_explained_variance_ratio, shares)
    np.testing.assert_allclose(abs(result.total_scores.sel(step=[2, 6])), abs(scores), rtol=1e-9)
    assert np.isnan(result.total_scores.sel(step=[0, 3, 4])).all() and np.isnan(result.scores[1].sel(step=[0, 4])).all()
    assert result.total_distance.sel(step=6).item() == pytest.approx(np.linalg.norm(both[1] - both[0]))


def test_principal_components__leave_out_entries_that_are_not_finite_at_a_step(rng):
    array = walk(rng, range(4), 9)
    array[1, 2], array[3, 2], array[0, 5] = np.nan, np.inf, -np.inf
    result = principal_components(array, 1, "mean").compute()
    kept = np.delete(array.values, [2, 5], axis=1)
    np.testing.assert_allclose(result.explained_variance_ratio, by_svd(kept, 1)[0])
    assert result.nonfinite.values.tolist() == [1, 1, 0, 1] and result.left_out == 2


@pytest.mark.parametrize("steps", [[], [5]])
def test_principal_components__of_less_than_two_steps_are_unknown(steps):
    result = principal_components(
        xr.DataArray(np.ones((len(steps), 3)), {"step": steps}, ("step", "entry")), 2, "mean"
    ).compute()
    assert np.isnan(result.explained_variance_ratio).all() and result.sizes["step"] == len(steps)


def test_principal_components__a_sample_counts_for_all_entries(rng):
    """Half of 20 entries of one tensor beside all of another: distances as if each recorded entry stood for two."""
    sampled = walk(rng, range(3), 10, shape=(20,))
    whole = walk(rng, range(3), 4)
    result = principal_components({"a": sampled, "b": whole}, 1, "mean", [0]).compute()
    squares = [((array - array[0]) ** 2).sum("entry") for array in (sampled, whole)]
    np.testing.assert_allclose(result.distance[0, :, 0], np.sqrt(2 * squares[0]))
    np.testing.assert_allclose(result.total_distance[:, 0], np.sqrt(2 * squares[0] + squares[1]))
    assert (result.distance_se[0, 1:] > 0).all() and (result.distance_se[1] == 0).all()


def test_principal_components__any_chunking_gives_the_same_numbers(rng):
    array = walk(rng, range(6), 40)
    expected = principal_components(array, 2, "mean", [0]).compute()
    chunked = array.copy(data=da.from_array(array.values, chunks=(2, 7)))
    xr.testing.assert_allclose(principal_components(chunked, 2, "mean", [0]).compute(), expected, rtol=1e-12)
