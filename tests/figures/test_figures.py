import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

import trajlab
from tests.serving import serve
from trajlab.errors import BadSetting, MissingData, OutputExists
from trajlab.figures import figure, panels, save
from trajlab.figures.marks.choosing import between, choose
from trajlab.figures.marks.scale import MISSING, scale_for
from trajlab.figures.spectrum import _long
from trajlab.stages import stage, stage_names
from trajlab.statistics.studies import groups, telling_facts


def walk(seed):
    """The example, with a layer on the plane."""
    run = trajlab.example(seed=seed)
    plane = np.random.default_rng(seed).standard_normal((21, 3, 2)).cumsum(0)
    metrics = {"epoch": run.metrics["epoch"].values}
    return trajlab.from_arrays({**run.weights, "plane.weight": plane}, run.gradients, metrics=metrics)


@pytest.fixture
def study():
    """Two runs of two optimizers."""
    runs = {"adam-0": walk(0), "sgd-0": walk(1)}
    for name, run in runs.items():
        run.facts["describe"] = {"optimizer": name.partition("-")[0], "seed": 0}
    return runs


@pytest.fixture
def relative(study):
    return trajlab.run("drift", study).compute()


def _names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


@pytest.mark.parametrize("name", stage_names())
def test_figure__draws_every_stage_and_all_its_panels(study, name):
    served = {key: serve(name, run) for key, run in study.items()}
    alone = isinstance(served["adam-0"], trajlab.Trajectory)
    result = trajlab.run(name, served if alone else served["adam-0"]).compute()

    ax = figure(result)
    without_steps = ("correlation", "embedding", "filters", "projection", "unit_lines")
    assert ax.has_data() and (ax.get_xlabel() == "step" or name in without_steps)
    for panel in panels(result):
        drawing = Figure(panel.size, layout="constrained")
        panel.draw(drawing)
        drawing.canvas.draw()
        assert any(ax.has_data() or ax.texts for ax in drawing.axes), panel.key


def test_figure__shows_layers_in_network_order_from_the_top(relative):
    ax = figure(relative)

    assert _names(ax) == [str(name) for name in relative.parameter.values]
    assert ax.get_ylim() == (len(relative.parameter) - 0.5, -0.5)
    assert ax.get_title() == "mean of 2 runs"


def test_figure__labels_the_colors_with_the_variable_and_its_unit(relative):
    ax = figure(relative, variable="norm")

    assert "norm [weight]" in ax.figure.axes[-1].get_ylabel()


def test_figure__shows_the_values_of_the_run_that_was_asked_for(relative):
    ax = figure(relative, run="sgd-0")

    shown = ax.collections[0].get_array()
    expected = relative.relative.sel(run="sgd-0").transpose("parameter", "step").values
    np.testing.assert_array_equal(np.ma.filled(shown, np.nan), expected)
    assert ax.get_title() == "sgd-0"


def test_figure__leaves_what_is_not_known_light_gray(relative):
    relative["norm"][:, :, 0] = np.nan

    ax = figure(relative, variable="norm")

    assert np.ma.getmaskarray(ax.collections[0].get_array())[0].all()
    assert ax.get_facecolor() == to_rgba(MISSING)


def test_figure__draws_on_the_axes_given_and_opens_no_other(relative):
    ax = Figure().add_subplot()
    settings = dict(matplotlib.rcParams)

    assert figure(relative, ax=ax) is ax
    assert dict(matplotlib.rcParams) == settings
    assert matplotlib.pyplot.get_fignums() == []


def test_lines__are_colored_by_optimizer_with_a_legend_beside_the_data(relative):
    ax = figure(relative, variable="total_relative")

    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["optimizer: adam", "optimizer: sgd"]
    assert len({line.get_color() for line in ax.lines}) == 2
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1


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
    assert _names(ax) == list(dict.fromkeys(result.parameter_of.values))


def test_norm_of_the_gradient__is_a_heat_map_of_the_layers_that_have_one(study):
    ax = figure(trajlab.run("gradient_statistics", study).compute())

    assert _names(ax) == ["conv.weight", "conv.bias", "fc.weight", "fc.bias"]
    assert ax.figure.axes[-1].get_ylabel().split() == ["norm", "of", "the", "gradient"]


def test_gradient_lines__are_logarithmic_and_show_weights_from_the_input_to_the_output(study):
    chosen = {panel.key: panel for panel in panels(trajlab.run("gradient_statistics", study).compute())}
    drawing = Figure(chosen["rms"].size)
    chosen["rms"].draw(drawing)

    (ax,) = drawing.axes
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["conv.weight", "fc.weight"]
    assert {"l2", "rms", "total", "angle", "variance"} == set(chosen)


def test_alerts__are_orange_where_a_rule_fires_and_blank_where_it_was_not_checked(study):
    result = trajlab.run("alerts", study).compute()

    ax = figure(result, run="adam-0")

    assert _names(ax) == [str(rule) for rule in result.rule.values]
    shown = ax.collections[0].get_array()
    rows = dict(zip(_names(ax), shown, strict=True))
    assert rows["UnchangedTensor"].tolist() == [0, 0] + [1] * 19
    assert np.ma.getmaskarray(rows["DeadRelu"]).all()
    assert {panel.key for panel in panels(result)} == {"rules", "places", "runs"}


def test_alerts__what_was_found_lasts_until_it_is_checked_again():
    loss = np.append(np.linspace(3, 1, 21), np.linspace(2, 1, 12))
    run = trajlab.from_arrays({"w": np.ones((33, 1))}, metrics={"loss": loss})
    result = trajlab.run("alerts", run).compute()

    rows = dict(zip(result.rule.values, figure(result).collections[0].get_array(), strict=True))

    assert np.ma.filled(rows["LossNotDecreasing"], -1).tolist() == [-1] * 10 + [0] * 20 + [1] * 3


def test_sign_map__zooms_into_steps_and_one_layer(study, tmp_path):
    result = trajlab.run("sign_flips", study).compute()

    ax = figure(result.sel(step=slice(5, 9)), variable="sign_map", tau=0.01, run="sgd-0", parameter="fc.weight")

    own = result.parameter_of == "fc.weight"
    signs = (
        result.sign_map.sel(tau=0.01, run="sgd-0", step=slice(5, 9)).isel(entry=own.values).transpose("entry", "step")
    )
    np.testing.assert_array_equal(np.ma.getmaskarray(ax.collections[0].get_array()), signs.isnull().values)
    assert set(_names(ax)) <= {str(index) for index in result.index_of.values[own.values]}
    with pytest.raises(BadSetting, match="parameter='fc' was asked for; the map shows conv.weight, conv.bias"):
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


def test_quantiles__are_bands_about_the_median(study):
    ax = figure(trajlab.run("distribution", study).compute(), parameter="fc.weight", run="adam-0")

    assert [band.get_label() for band in ax.collections] == ["1 to 99 %", "5 to 95 %", "25 to 75 %"]
    assert [line.get_label() for line in ax.lines] == ["median"]


def test_quantiles__do_not_overlap_and_so_look_like_their_legend(study):
    ax = figure(trajlab.run("distribution", study).compute(), parameter="fc.weight", run="adam-0")

    assert [len(band.get_paths()) for band in ax.collections] == [2, 2, 1]


def test_drift__leaves_out_what_started_at_zero():
    line = np.linspace(0, 1, 4)[:, None, None] * np.ones((1, 3, 3))
    runs = {name: trajlab.from_arrays({"w": 1 + line, "mixed": line + i, "zero": line}) for i, name in enumerate("ab")}

    ax = figure(trajlab.run("drift", runs).compute())

    assert _names(ax) == ["w", "mixed"]
    assert ax.get_title() == "mean of 2 runs, without 1 that started at zero"
    assert ax.collections[0].get_array()[1, -1] == 1.0


def test_figure__draws_the_causes_of_a_single_parameter(study):
    ax = figure(trajlab.run("drift", study).compute(), variable="unchanged_cause", parameter="fc.weight")

    assert _names(ax) == ["fc.weight"]


def test_histogram__is_bright_where_values_are_dense(study):
    ax = figure(trajlab.run("distribution", study).compute(), variable="histogram")

    assert ax.collections[0].get_cmap().name == "viridis"


@pytest.mark.parametrize(("steps", "ticks"), [(range(0, 301, 5), [0, 100, 200, 300]), (range(1, 937), [1, 936])])
def test_steps__name_the_first_and_the_last(steps, ticks):
    values = np.ones((len(steps), 2, 2))
    ax = figure(trajlab.run("drift", trajlab.from_arrays({"w": values}, steps=np.array(steps))).compute())

    shown = ax.get_xticks()
    assert set(ticks) <= set(shown)
    assert (np.diff(shown) > 0.05 * np.ptp(shown)).all()


def test_figure__thins_the_names_of_many_layers():
    walk = trajlab.from_arrays({f"block{i}.conv.weight": np.random.default_rng(i).random((4, 3, 3)) for i in range(60)})

    ax = figure(trajlab.run("drift", walk).compute(), ax=Figure((5, 2.5)).add_subplot())

    assert 5 <= len(ax.get_yticks()) <= 20
    assert _names(ax)[0] == "block0.conv.weight"


@pytest.mark.parametrize("steps", [1, 2])
def test_figure__draws_a_result_of_one_step(steps):
    walk = trajlab.from_arrays({"w": np.ones((steps, 2, 2))})

    assert figure(trajlab.run("drift", walk).compute()).collections


def test_figure__draws_any_result_of_a_users_own_stage(study):
    def largest(weight):
        return abs(weight).max(weight.dims[1:])

    ax = figure(trajlab.run(largest, study).compute())

    assert len(_names(ax)) == 6


@pytest.mark.parametrize("dims", [("step",), ("unit",), ("step", "unit"), ("component", "unit"), (), ("run",)])
def test_figure__draws_variables_of_any_dims(dims):
    sizes = {"step": 4, "unit": 12, "component": 3, "run": 2}
    array = xr.DataArray(np.random.default_rng(0).random([sizes[dim] for dim in dims]), dims=dims)
    for dim in set(dims) & {"step", "run"}:
        array = array.assign_coords({dim: np.arange(sizes[dim])})

    assert figure(array.to_dataset(name="own")).has_data()


def test_singular_values__are_drawn_against_the_range_of_noise():
    rng = np.random.default_rng(0)
    grown = rng.standard_normal((5, 30, 90)) + np.linspace(0, 1, 5)[:, None, None] * np.outer(np.ones(30), np.ones(90))
    result = trajlab.run("spectrum", trajlab.from_arrays({"w": grown, "noise": grown[:, :5, :7]})).compute()

    ax = figure(result, parameter="w")

    colors = [line.get_color() for line in ax.lines if line.get_linestyle() == "-"]
    assert (len(colors), len(set(colors)), colors.count(colors[0])) == (30, 2, 1)
    (noise,) = ax.collections
    low, high = noise.get_paths()[0].vertices[:, 1].min(), noise.get_paths()[0].vertices[:, 1].max()
    one = result.sel(parameter="w")
    assert (low, high) == (one.mp_lower.min(), one.mp_upper.max())
    assert [text.get_text() for text in ax.get_legend().get_texts()][0] == "beyond noise at the end"


def test_exponents_of_tails__are_of_the_runs_in_which_the_matrix_is_large():
    rng = np.random.default_rng(0)
    shapes = {"wide": [(30, 40), (30, 5), (4, 30)], "narrow": [(3, 40), (30, 40), (4, 3)]}
    runs = {
        run: trajlab.from_arrays({name: rng.standard_normal((2, *size)) for name, size in zip("abc", own, strict=True)})
        for run, own in shapes.items()
    }
    result = trajlab.run("spectrum", runs).compute()

    alpha, left_out = _long(result)

    assert (alpha.parameter.values.tolist(), left_out) == (["a", "b"], 1)
    assert np.isfinite(alpha.isel(step=0).sel(run=["wide", "narrow"])).values.tolist() == [[True, False], [False, True]]
    assert "Left out: 1 with" in panels(result)[-1].caption


def test_runs__are_not_told_apart_by_the_size_of_a_parameter():
    rng = np.random.default_rng(0)
    runs = {str(size): trajlab.from_arrays({"w": rng.standard_normal((2, size, 4)), "v": np.ones((2, 3))})
            for size in (3, 5)}  # fmt: skip
    result = trajlab.run("drift", runs).compute().assign_coords(variant=("run", ["a", "b"]))

    chosen, _ = choose(result, "norm", keep=("step", "run"), parameter="w")

    assert result.numel.dims == ("run", "parameter")
    assert telling_facts(chosen) == ["variant"]
    assert [text.get_text() for text in figure(result, variable="norm", parameter="w").get_legend().get_texts()] == [
        "variant: a",
        "variant: b",
    ]


def test_path__is_colored_by_step_from_the_first_to_the_last(study):
    result = trajlab.run("projection", study).compute()

    ax = figure(result, run="sgd-0", parameter="fc.weight")

    path = ax.collections[0]
    chosen = result.scores.sel(run="sgd-0", parameter="fc.weight")
    np.testing.assert_array_equal(path.get_offsets(), chosen[:, :2])
    np.testing.assert_array_equal(path.get_array(), result.step)
    first, last = (marked.get_offsets()[0] for marked in ax.collections[1:])
    assert (tuple(first), tuple(last)) == (tuple(chosen.values[0, :2]), tuple(chosen.values[-1, :2]))
    share = float(result.explained_variance_ratio.sel(run="sgd-0", parameter="fc.weight")[0])
    assert f"{100 * share:.1f} %" in ax.get_xlabel()


def test_figure__says_what_there_is_when_asked_for_what_is_not(relative):
    with pytest.raises(BadSetting, match="'speed' was asked for; the result has norm"):
        figure(relative, variable="speed")
    with pytest.raises(BadSetting, match="run='x' was asked for; there are adam-0, sgd-0"):
        figure(relative, run="x")
    with pytest.raises(MissingData, match="no steps"):
        figure(relative.isel(step=slice(0)))


def test_scale__is_logarithmic_over_decades_and_keeps_zeros_and_infinities():
    values = np.array([0.0, 1e-6, 1e-5, 1e-3, 1.0, np.inf])

    scale = scale_for(xr.DataArray(values))

    assert (scale.norm.vmin, scale.norm.vmax) == (1e-6, 1.0)
    np.testing.assert_array_equal(scale.show(values), [1e-6, 1e-6, 1e-5, 1e-3, 1.0, 1.0])


def test_save__writes_a_picture_and_never_overwrites_it_silently(relative, tmp_path):
    out = save(relative, tmp_path / "drift.png")

    assert out.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputExists):
        save(relative, out)
    with pytest.raises(BadSetting, match="pictures end in"):
        save(relative, tmp_path / "drift.xyz")
    assert list(tmp_path.iterdir()) == [out]


def test_save__draws_the_parameter_layer_or_threshold_that_was_asked_for(study, tmp_path):
    result = trajlab.run("zero_gradients", study).compute()

    save(result, tmp_path / "one.png", parameter="fc.weight", tau=float(result.tau[0]))
    with pytest.raises(BadSetting, match="parameter='x' was asked for"):
        save(result, tmp_path / "x.png", parameter="x")
    with pytest.raises(BadSetting, match="layer='x' was asked for"):
        save(result, tmp_path / "x.png", layer="x")
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


@pytest.mark.parametrize(
    ("steps", "shown"), [("5:8", [5, 6, 7, 8]), ("18:", [18, 19, 20]), (":1", [0, 1]), ("7", [7]), (None, range(21))]
)
def test_between__gives_the_steps_that_are_asked_for(relative, steps, shown):
    assert between(relative, steps).step.values.tolist() == list(shown)


@pytest.mark.parametrize("steps", ["", ":", "a:b", "1-2", "1:2:3"])
def test_between__says_how_steps_are_written(relative, steps):
    with pytest.raises(BadSetting, match="steps are written 100:200 or 100"):
        between(relative, steps)


def test_between__says_which_steps_there_are(relative):
    with pytest.raises(MissingData, match="steps 30:40 were asked for; the result has 21 from 0 to 20"):
        between(relative, "30:40")
    with pytest.raises(BadSetting, match="of a result with no steps"):
        between(relative.max("step"), "3")


def test_save__asks_which_of_several_results_to_draw(tmp_path):
    for name in ("drift", "sign_flips"):
        (tmp_path / f"{name}.zarr").mkdir()

    with pytest.raises(MissingData, match="holds several results: drift, sign_flips. Name one of them"):
        save(tmp_path, tmp_path / "x.png")


@pytest.fixture
def lives():
    """Unit 0 lives on, 1 dies late, 2 early and comes back, 3 is dead from the start, and 4 is not there."""
    alive = np.ones((6, 1, 5))
    alive[4:, :, 1] = alive[1:3, :, 2] = alive[:, :, 3] = 0
    alive[:, :, 4] = np.nan
    relu = xr.DataArray(alive, {"step": 10 * np.arange(6)}, ("step", "sample", "unit"))
    return stage("dead_neurons")({"relu": relu}).compute().assign_attrs(stage="dead_neurons")


def test_dead_neurons__lives_are_sorted_by_the_first_death(lives):
    ax = figure(lives, variable="dead")

    assert _names(ax) == ["3", "2", "1"]
    assert ax.get_title() == "relu, 3 of 4 units ever dead"
    shown = np.ma.filled(ax.collections[0].get_array(), -1)
    np.testing.assert_array_equal(shown == 3, [[1] * 6, [0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1]])


def test_dead_neurons__where_no_unit_dies_all_lives_are_drawn(lives):
    ax = figure(lives.isel(unit=[0, 0]), variable="dead")
    assert len(_names(ax)) == 2 and "0 of 2 units ever dead" in ax.get_title()


def test_dead_neurons__survival_is_drawn_in_steps(lives):
    (panel,) = [panel for panel in panels(lives) if panel.key == "survival"]
    drawing = Figure(panel.size)
    panel.draw(drawing)
    (line,) = drawing.axes[0].get_lines()
    assert line.get_drawstyle() == "steps-post"
    np.testing.assert_allclose(line.get_ydata(), lives.survival[:, 0])
