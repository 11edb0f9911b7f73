import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trajlab
from trajlab.errors import BadSetting
from trajlab.statistics.averages import averaged


def adam_moments(gradients, decay):
    """The plain loop of Adam."""
    moment, rows = np.zeros(gradients.shape[1:]), []
    for step, gradient in enumerate(gradients.astype(float), 1):
        moment = decay * moment + (1 - decay) * gradient
        rows.append(moment / (1 - decay**step))
    return np.stack(rows)


def run_of(gradients, chunks=None):
    arrays = {name: da.from_array(g, chunks=(chunks, -1)) if chunks else g for name, g in gradients.items()}
    return trajlab.from_arrays({name: np.ones_like(g) for name, g in gradients.items()}, arrays)


@settings(deadline=None, max_examples=15)
@given(steps=st.integers(1, 12), chunks=st.integers(1, 12), decay=st.sampled_from([0.5, 0.9, 0.999]))
def test_averaged__is_adams_first_moment_in_any_chunks(steps, chunks, decay):
    gradients = np.random.default_rng(steps).normal(size=(steps, 5))
    array = run_of({"w": gradients}, chunks).gradients["w"]
    lazy = averaged(array, decay)
    np.testing.assert_allclose(lazy, adam_moments(gradients, decay), rtol=1e-12)
    np.testing.assert_array_equal(lazy, averaged(run_of({"w": gradients}).gradients["w"], decay))
    assert lazy.attrs == array.attrs and lazy.dims == array.dims


def test_averaged__keeps_nan_and_refuses_a_decay_of_1():
    gradients = np.array([[1.0, 1.0], [np.nan, 2.0], [1.0, np.inf]])
    values = averaged(run_of({"w": gradients}).gradients["w"], 0.5).values
    assert np.isnan(values[1:, 0]).all() and np.isinf(values[2, 1]) and values[1, 1] == pytest.approx(5 / 3)
    with pytest.raises(BadSetting, match="average=1.0: choose a decay from 0 to below 1"):
        averaged({}, 1.0)


@pytest.mark.parametrize("stage", ["gradient_statistics", "zero_gradients", "sign_flips"])
def test_stages_of_gradients__take_the_average_in_place_of_the_gradient(rng, stage, no_compute):
    gradients = {name: rng.normal(size=(9, 6)) for name in ("v", "w")}
    averages = {name: adam_moments(values, 0.9) for name, values in gradients.items()}
    with no_compute():
        lazy = trajlab.run(stage, run_of(gradients, 4), average=0.9)
    result, expected = lazy.compute(), trajlab.run(stage, run_of(averages)).compute()
    for name in expected.data_vars:
        if expected[name].dtype.kind == "f":
            np.testing.assert_allclose(result[name], expected[name], rtol=1e-9, atol=1e-7, err_msg=str(name))
    assert result.attrs["average"] == 0.9


def test_gradient_statistics__angle_to_the_average_agrees_with_numpy(rng):
    gradients = {name: rng.normal(size=(9, size)) for name, size in (("v", 6), ("w", 30))}
    result = trajlab.run("gradient_statistics", run_of(gradients), average=0.8).compute()
    averages = {name: adam_moments(values, 0.8) for name, values in gradients.items()}
    whole = [np.hstack(list(some.values())) for some in (gradients, averages)]
    for name, (g, m) in {"v": (gradients["v"], averages["v"]), "": whole}.items():
        cosine = (g * m).sum(1) / np.linalg.norm(g, axis=1) / np.linalg.norm(m, axis=1)
        actual = result.angle_average.sel(parameter=name) if name else result.total_angle_average
        np.testing.assert_allclose(actual, np.degrees(np.arccos(np.clip(cosine, -1, 1))), atol=1e-5)
    assert result.angle_average.isel(step=0).max() < 1e-5
    assert "angle_average" not in trajlab.run("gradient_statistics", run_of(gradients))
