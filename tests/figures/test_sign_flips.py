import numpy as np
import pytest
from matplotlib.figure import Figure

import trajlab
from tests.figures.axes import row_names
from trajlab.errors import BadSetting
from trajlab.figures import figure, panels, save
from trajlab.statistics.studies import groups


def test_flip_rates__diverge_from_a_coin(study):
    ax = figure(trajlab.run("sign_flips", study).compute())

    norm = ax.collections[0].norm
    assert norm.vcenter == 0.5
    assert 0.5 - norm.vmin == pytest.approx(norm.vmax - 0.5)


def test_flip_rates__stand_beside_an_ar1_process_for_each_group_of_runs(study):
    result = trajlab.run("sign_flips", study).compute()
    expected = result.total_flip_rate_ar1

    ax = figure(result, variable="total_flip_rate")
    dashed = [line.get_ydata() for line in ax.lines if line.get_linewidth() == 0.9]
    one = figure(result.isel(run=[0]), variable="total_flip_rate")

    known = [expected.isel(run=at).mean("run").dropna("step") for at in groups(result).values()]
    assert len(dashed) == len(known) > 1
    for drawn, group in zip(dashed, known, strict=True):
        np.testing.assert_allclose(drawn, group.values)
    np.testing.assert_allclose(one.lines[-1].get_ydata(), expected.isel(run=0).dropna("step").values)


def test_sign_map__divides_the_layers_and_leaves_large_gradients_blank(study):
    result = trajlab.run("sign_flips", study).compute()

    ax = figure(result, variable="sign_map", tau=0.01, run="sgd-0")

    signs = result.sign_map.sel(tau=0.01, run="sgd-0", step=slice(1, 19)).transpose("entry", "step")
    shown = ax.collections[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), signs.isnull().values)
    assert row_names(ax) == list(dict.fromkeys(result.parameter_of.values))


def test_sign_map__zooms_into_steps_and_one_layer(study, tmp_path):
    result = trajlab.run("sign_flips", study).compute()

    ax = figure(result.sel(step=slice(5, 9)), variable="sign_map", tau=0.01, run="sgd-0", parameter="fc.weight")

    own = result.parameter_of == "fc.weight"
    signs = (
        result.sign_map.sel(tau=0.01, run="sgd-0", step=slice(5, 9)).isel(entry=own.values).transpose("entry", "step")
    )
    np.testing.assert_array_equal(np.ma.getmaskarray(ax.collections[0].get_array()), signs.isnull().values)
    assert set(row_names(ax)) <= {str(index) for index in result.index_of.values[own.values]}
    with pytest.raises(BadSetting, match="parameter='fc': the labels are conv.weight, conv.bias"):
        figure(result, variable="sign_map", parameter="fc")
    save(result, tmp_path / "zoom.png", variable="sign_map", parameter="fc.weight", steps="5:9")


def test_sign_map__says_what_is_blank(study):
    ax = figure(trajlab.run("sign_flips", study).compute(), variable="sign_map")

    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert named == ["negative", "zero", "positive", "larger, or unknown"]


def test_extrema__are_on_one_scale(study):
    result = trajlab.run("sign_flips", study["adam-0"]).compute()
    panel = next(panel for panel in panels(result) if panel.key == "extrema")
    drawing = Figure(panel.size, layout="constrained")

    panel.draw(drawing)

    minima, maxima = (ax.collections[0] for ax in drawing.axes[:2])
    np.testing.assert_array_equal(
        minima.get_array().filled(np.nan), result.minima_rate.sel(step=slice(1, 19)).transpose("parameter", "step")
    )
    assert minima.norm is maxima.norm
    assert minima.norm.vmax == np.nanmax([result.minima_rate, result.maxima_rate])


@pytest.mark.parametrize("variable", ["total_flip_rate", "total_flip_rate_retained"])
def test_rates__of_many_steps_are_rolling_means(rng, variable):
    gradients = {"w": rng.standard_normal((81, 4, 5))}
    run = trajlab.from_arrays({"w": np.ones((81, 4, 5))}, gradients)
    result = trajlab.run("sign_flips", run, tau=[1.0]).compute()

    ax = figure(result, variable=variable)

    rate = result[variable].isel(tau=0, missing_dims="ignore")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), rate.rolling(step=4, center=True, min_periods=1).mean())
    assert "mean over 4 recorded steps" in ax.get_title()
