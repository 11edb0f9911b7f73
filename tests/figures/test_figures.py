import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

import trajlab
from tests.figures.axes import row_names
from tests.serving import serve
from trajlab.errors import BadSetting, MissingData, OutputExists
from trajlab.figures import figure, panels, save
from trajlab.figures.marks.colors import MISSING
from trajlab.reports.findings import findings
from trajlab.stages import stage_names


@pytest.mark.parametrize("name", stage_names())
def test_figure__draws_every_stage_and_all_its_panels(study, name):
    served = {key: serve(name, run) for key, run in study.items()}
    alone = isinstance(served["adam-0"], trajlab.Trajectory)
    result = trajlab.run(name, served if alone else served["adam-0"]).compute()

    ax = figure(result)
    without_steps = ("correlation", "embedding", "filters", "projection", "unit_lines")
    assert ax.has_data() and (ax.get_xlabel() == "step" or name in without_steps)
    assert {finding.figure for finding in findings(result)} <= {"", *(panel.key for panel in panels(result))}
    for panel in panels(result):
        drawing = Figure(panel.size, layout="constrained")
        panel.draw(drawing)
        drawing.canvas.draw()
        assert any(ax.has_data() or ax.texts for ax in drawing.axes), panel.key


def test_figure__shows_layers_in_network_order_from_the_top(relative):
    ax = figure(relative)

    assert row_names(ax) == [str(name) for name in relative.parameter.values]
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
    assert row_names(ax)[0] == "block0.conv.weight"


@pytest.mark.parametrize("steps", [1, 2])
def test_figure__draws_a_result_of_one_step(steps):
    walk = trajlab.from_arrays({"w": np.ones((steps, 2, 2))})

    assert figure(trajlab.run("drift", walk).compute()).collections


def test_figure__draws_any_result_of_a_users_own_stage(study):
    def largest(weight):
        return abs(weight).max(weight.dims[1:])

    ax = figure(trajlab.run(largest, study).compute())

    assert len(row_names(ax)) == 6


@pytest.mark.parametrize("dims", [("step",), ("unit",), ("step", "unit"), ("component", "unit"), (), ("run",)])
def test_figure__draws_variables_of_any_dims(dims):
    sizes = {"step": 4, "unit": 12, "component": 3, "run": 2}
    array = xr.DataArray(np.random.default_rng(0).random([sizes[dim] for dim in dims]), dims=dims)
    for dim in set(dims) & {"step", "run"}:
        array = array.assign_coords({dim: np.arange(sizes[dim])})

    assert figure(array.to_dataset(name="own")).has_data()


def test_figure__says_what_there_is_when_asked_for_what_is_not(relative):
    with pytest.raises(BadSetting, match="'speed'.*norm"):
        figure(relative, variable="speed")
    with pytest.raises(BadSetting, match="run='x'.*adam-0, sgd-0"):
        figure(relative, run="x")
    with pytest.raises(MissingData, match="no steps"):
        figure(relative.isel(step=slice(0)))


def test_save__writes_a_picture_and_never_overwrites_it_silently(relative, tmp_path):
    out = save(relative, tmp_path / "drift.png")

    assert out.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputExists):
        save(relative, out)
    with pytest.raises(BadSetting, match=r"drift\.xyz.*png"):
        save(relative, tmp_path / "drift.xyz")
    assert list(tmp_path.iterdir()) == [out]


def test_save__draws_the_parameter_layer_or_threshold_that_was_asked_for(study, tmp_path):
    result = trajlab.run("zero_gradients", study).compute()

    save(result, tmp_path / "one.png", parameter="fc.weight", tau=float(result.tau[0]))
    with pytest.raises(BadSetting, match="parameter='x'"):
        save(result, tmp_path / "x.png", parameter="x")
    with pytest.raises(BadSetting, match="layer='x'"):
        save(result, tmp_path / "x.png", layer="x")
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


def test_save__asks_which_of_several_results_to_draw(tmp_path):
    for name in ("drift", "sign_flips"):
        (tmp_path / f"{name}.zarr").mkdir()

    with pytest.raises(MissingData, match="several results .*drift, sign_flips.*name one"):
        save(tmp_path, tmp_path / "x.png")


@pytest.mark.parametrize(("options", "pixels"), [({}, (1152, 640)), ({"size": "3.5x2.5", "dpi": 300}, (1050, 750))])
def test_save__draws_in_the_size_that_was_asked_for(relative, tmp_path, options, pixels):
    from PIL import Image

    with Image.open(save(relative, tmp_path / "drift.png", **options)) as image:
        assert image.size == pixels


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.png", {"size": "3"}), ("a.png", {"size": "0x2"}), ("a.png", {"dpi": 0}), ("a.gif", {"dpi": 300})],
)
def test_save__refuses_sizes_that_make_no_sense(relative, tmp_path, name, options):
    with pytest.raises(BadSetting, match="cannot (draw|size)"):
        save(relative, tmp_path / name, **options)
    assert not (tmp_path / name).exists()
