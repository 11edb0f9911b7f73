"""The view of samples."""

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("bokeh", reason="the page needs trajlab[explore]")

from trajlab.explorer.arrays import Arrays  # noqa: E402
from trajlab.explorer.context import Context  # noqa: E402
from trajlab.explorer.look import LIGHT  # noqa: E402
from trajlab.explorer.result_collection import ResultCollection  # noqa: E402
from trajlab.explorer.selection import Selection  # noqa: E402
from trajlab.explorer.source import source_of  # noqa: E402
from trajlab.explorer.views.samples import Samples  # noqa: E402


@pytest.fixture
def embedding():
    points = np.arange(2 * 2 * 4 * 2, dtype=float).reshape(2, 2, 4, 2)
    return xr.Dataset(
        {"pca": (("step", "layer", "sample", "component"), points), "target": ("sample", [0, 1, 1, 7])},
        {"step": [0, 10], "layer": np.array(["fc1", "output"], object)}, {"stage": "embedding"},
    )  # fmt: skip


def shown(result, **state):
    collection = ResultCollection(source_of({result.attrs["stage"]: result}))
    view = Samples(Context(collection, Selection(**state), LIGHT, Arrays()))
    view.update()
    return view


def test_points_are_those_of_the_layer_at_the_step(embedding):
    table = shown(embedding, row="fc1", step=3).table()
    assert table[["x", "y"]].values.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert table["target"].tolist() == ["0", "1", "1", "7"]
    assert table["color"].nunique() == table["marker"].nunique() == 3


def test_the_last_layer_and_step_are_the_default(embedding):
    assert shown(embedding).table()["x"].tolist() == [24, 26, 28, 30]


def test_a_study_shows_the_run_that_is_selected(embedding):
    study = xr.concat(
        [embedding, embedding + 100], "run", data_vars=["pca"], coords="minimal", compat="override", join="outer"
    )
    study = study.assign_coords(run=np.array(["a", "b"], object)).assign_attrs(stage="embedding")
    assert shown(study, run="b").table()["x"].tolist() == [124, 126, 128, 130]


def test_samples_without_targets_have_one_color(embedding):
    table = shown(embedding.drop_vars("target")).table()
    assert set(table["target"]) == {"unknown"} and table["color"].nunique() == 1
