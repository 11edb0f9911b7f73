import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import same_color, to_hex
from matplotlib.figure import Figure

from trajlab.errors import BadSetting
from trajlab.figures import figure, panels, save
from trajlab.figures.embedding import frames
from trajlab.figures.marks.by_layer import by_layer
from trajlab.figures.marks.colors import CLASSES
from trajlab.figures.marks.points import MARKERS, look_of
from trajlab.reports.findings import findings, headlines
from trajlab.stages.embedding import embedding

LABELS = np.arange(18) % 3


def of(layers, targets=LABELS, **settings):
    """Embed made activations, (step, sample, unit) by layer, at steps 0, 10, …"""
    arrays = {
        name: xr.DataArray(np.asarray(v, float), {"step": np.arange(len(v)) * 10}, ("step", "sample", "unit"))
        for name, v in layers.items()
    }
    inputs = np.random.default_rng(9).random((18, 4)).astype(np.float32)
    probe = xr.Dataset({"inputs": (("sample", "f"), inputs)})
    if targets is not None:
        probe["targets"] = ("sample", targets)
    names = [*settings.pop("names", ["input"]), *layers]
    result = embedding(lambda layers, probe: {n: arrays[n] for n in layers}, probe, layers=names, **settings).compute()
    return result.assign_attrs(stage="embedding")


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3, 18, 4))
    return of({"early": noise, "late": noise + 40 * np.arange(3)[:, None, None] * np.eye(4)[LABELS]})


def stacked(one, other):
    return xr.concat([one, other], "run", data_vars="all").assign_coords(run=["a", "b"])


def by_color(ax):
    return {
        to_hex(collection.get_facecolor()[0]): np.asarray(collection.get_offsets())
        for collection in ax.collections
        if collection.get_offsets().size
    }


def test_figure__colors_the_points_of_the_last_layer_and_step_by_class(result):
    ax = figure(result)
    assert ax.get_title() == "late, step 20, kNN 100 %"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["class 0", "class 1", "class 2"]
    for label, position in enumerate(by_color(ax).values()):
        np.testing.assert_allclose(position, result.tsne.sel(layer="late", step=20)[LABELS == label])
    assert [c for c in by_color(ax)] == [to_hex(color) for color in CLASSES[:3]]
    other = figure(result, variable="pca", layer="early", step=0)
    assert other.get_title().startswith("early, step 0, kNN ")
    np.testing.assert_allclose(next(iter(by_color(other).values())), result.pca.sel(layer="early", step=0)[LABELS == 0])


def test_figure__ten_classes_differ_in_color_and_marker():
    assert len(set(CLASSES)) == len(set(MARKERS)) == 10
    assert len(look_of(np.arange(10)).classes) == 10
    many = look_of(np.arange(11))
    assert not len(many.classes) and (many.norm.vmin, many.norm.vmax) == (0, 10)
    assert look_of(np.array([0.1, np.nan, 0.9])).norm.vmax == 0.9
    assert look_of(None).norm is None and look_of(np.array([np.nan])).norm is None
    assert look_of(np.array([-100, 0, 1])).classes.tolist() == [0, 1]


def test_figure__of_values_or_no_targets(result):
    values = of({"fc": np.random.default_rng(0).random((1, 18, 3))}, np.linspace(0, 1, 18), tsne=False)
    ax = figure(values)
    np.testing.assert_allclose(ax.collections[0].get_array(), np.linspace(0, 1, 18))
    assert ax.get_legend() is None and "kNN" not in ax.get_title()
    none = of({"fc": np.random.default_rng(0).random((1, 18, 3))}, None, tsne=False)
    assert len(figure(none).collections) == 1
    for one in (values, none):
        assert [panel.key for panel in panels(one)] == ["pca", "effective_rank", "singular_values"]


def test_figure__what_neighbors_tell_is_a_line_for_each_layer(result):
    ax = figure(result, variable="knn_accuracy")
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == ["input", "early", "late", "majority class"]
    np.testing.assert_allclose(ax.lines[2].get_ydata(), result.knn_accuracy.sel(layer="late"))
    assert same_color(ax.lines[0].get_color(), ax.lines[3].get_color())
    assert ax.lines[3].get_ydata()[0] == pytest.approx(1 / 3)
    runs = xr.concat(
        [result, result.assign(knn_accuracy=result.knn_accuracy / 2)], "run", data_vars="all"
    ).assign_coords(run=["a", "b"])
    lines = figure(runs, variable="knn_accuracy").lines
    assert len(lines) == 3 * 3 + 1
    np.testing.assert_allclose(lines[8].get_ydata(), 0.75 * result.knn_accuracy.sel(layer="late"))


def test_figure__singular_values_are_a_line_for_each_step(result):
    ax = figure(result, variable="singular_values", layer="early")
    assert len(ax.lines) == 3 and ax.get_yscale() == "log"
    np.testing.assert_allclose(ax.lines[1].get_ydata(), result.singular_values.sel(layer="early", step=10)[:4])


def test_panels__draw_the_inputs_once(result):
    actual = {panel.key: panel for panel in panels(result)}
    assert list(actual) == ["tsne", "pca", "knn_accuracy", "effective_rank", "singular_values"]
    drawing = Figure(figsize=actual["tsne"].size)
    actual["tsne"].draw(drawing)
    titles = [ax.get_title() for ax in drawing.axes]
    assert titles[0].startswith("input\nall steps, kNN ") and len(titles) == 1 + 2 * 3
    assert titles[-1] == "late\nstep 20, kNN 100 %"


def test_panels__draw_layers_of_which_nothing_is_known():
    dead = of({"dead": np.full((2, 18, 3), np.nan), "same": np.ones((2, 18, 3))}, names=[])
    for panel in panels(dead):
        panel.draw(Figure(figsize=panel.size))


def test_frames__move_on_one_scale_with_a_step_each(result, tmp_path):
    moving = frames(result, variable="pca", layer="late")
    assert moving.steps.tolist() == [0, 10, 20]
    limits = set()
    for position in range(3):
        drawing = Figure()
        moving.draw(drawing, position)
        limits.add(drawing.axes[0].get_xlim())
        assert drawing.get_suptitle() == f"step {position * 10}"
    assert len(limits) == 1
    assert save(result, tmp_path / "life.gif").stat().st_size > 1000
    with pytest.raises(BadSetting, match="'knn_accuracy'.*tsne and pca"):
        frames(result, variable="knn_accuracy")


def test_panels__and_frames_of_several_runs_show_the_first(result):
    runs = stacked(result, result.assign(pca=1e3 * result.pca))
    for panel in panels(runs):
        panel.draw(Figure(figsize=panel.size))
        assert "rank" in panel.key or "accuracy" in panel.key or panel.caption.endswith("Run a.")
    limits = []
    for one, label in ((runs, None), (runs, "b"), (result, None)):
        drawing = Figure()
        frames(one, variable="pca", **({} if label is None else {"run": label})).draw(drawing, 1)
        limits.append(drawing.axes[0].get_xlim())
    assert limits[0] == limits[2]
    np.testing.assert_allclose(limits[1], 1e3 * np.array(limits[0]))


def test_findings__say_which_layer_tells_the_classes_and_what_changed(result):
    texts = [finding.text for finding in findings(result)]
    inputs = 100 * result.knn_accuracy.sel(layer="input", step=20).item()
    assert texts[0] == (
        f"At step 20 the 5-NN accuracy is highest in `late`: 100 % (inputs: {inputs:.0f} %; majority class: 33 %)."
    )
    first = 100 * result.knn_accuracy.sel(layer="late", step=0).item()
    assert texts[1].startswith("From step 0 to 20 the kNN accuracy of `late` rises from ")
    assert f"from {first:.0f} % to 100 %, the largest change of all layers." in texts[1]
    assert texts[2].startswith("From step 0 to 20 the effective rank of the 4 features of `late` shrinks from ")
    assert {sentence.figure for sentence in findings(result)} <= {panel.key for panel in panels(result)}


def test_findings__say_what_is_broken_or_the_same_for_all():
    noise = np.random.default_rng(0).standard_normal((2, 18, 3))
    broken = noise.copy()
    broken[1, 4] = np.nan
    sentences = findings(of({"broken": broken, "same": np.ones((2, 18, 3))}, names=[], tsne=False))
    assert (
        sentences[0].alarm and sentences[0].text == "NaN or Inf among the features from step 10 on, first in `broken`."
    )
    assert sentences[-1].text == "All samples have the same features in `same`, first at step 0."
    still = [finding.text for finding in findings(of({"fc": np.stack([noise[0]] * 2)}, names=[], tsne=False))]
    assert still[1] == "From step 0 to 10 the kNN accuracy changes in no layer by 3.0 % of the samples."
    assert len(still) == 2


def _panel(result, key):
    chosen = next(panel for panel in panels(result) if panel.key == key)
    drawing = Figure(chosen.size, layout="constrained")
    chosen.draw(drawing)
    return chosen, drawing.axes


def test_panels__of_few_steps_have_layers_side_by_side(result):
    caption, axes = _panel(result, "pca")[0].caption, _panel(result, "pca")[1]
    titles = [ax.get_title().split(", kNN")[0] for ax in axes]

    assert "each column a layer" in caption
    assert titles[:3] == ["input\nall steps", "early\nstep 0", "late\nstep 0"]
    assert titles[-1] == "late\nstep 20"


def test_panels__of_more_steps_have_a_row_for_each_layer():
    many = of({"fc": np.random.default_rng(0).standard_normal((4, 18, 3))}, tsne=False)
    panel, axes = _panel(many, "pca")

    assert "each row a layer" in panel.caption
    assert [ax.get_ylabel() for ax in axes if ax.get_ylabel()] == ["input", "fc"]


def test_lines__of_few_steps_have_marks(result):
    panel, (ax,) = _panel(result, "knn_accuracy")

    assert panel.title == "kNN accuracy"
    assert {line.get_marker() for line in ax.lines if line.get_label() in ("early", "late")} == {"o"}
    many = xr.DataArray(np.ones((13, 1)), {"step": np.arange(13), "layer": ["fc"]}, ("step", "layer"))
    plain = Figure().add_subplot()
    by_layer(many, plain)
    assert [line.get_marker() for line in plain.lines] == ["None"]


def test_headlines__tell_the_highest_accuracy_of_a_layer(result):
    assert headlines(result)["knn_best"].item() == result.knn_accuracy.sel(layer="late", step=20).item() == 1.0
    assert "knn_best" not in headlines(of({"fc": np.ones((2, 18, 3))}, targets=None, tsne=False))
