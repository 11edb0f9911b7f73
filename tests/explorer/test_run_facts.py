import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.explorer.arrays import Arrays
from trajlab.explorer.context import Context
from trajlab.explorer.explore import collection_of
from trajlab.explorer.look import LIGHT
from trajlab.explorer.run_facts import facts_of, metrics_of, shown_metric

selection = pytest.importorskip("trajlab.explorer.selection", reason="the page needs trajlab[explore]")


def run_of(lr, *metrics):
    run = trajlab.from_arrays({"w": np.ones((3, 2), np.float32)})
    run.facts["describe"] = {"lr": lr, "layers": [1, 2]}
    run.metrics = xr.Dataset({name: ("step", [3.0, 2.0, 1.0]) for name in metrics}, {"step": [0, 1, 2]})
    return run


@pytest.fixture
def context():
    runs = {"a": run_of(0.1, "accuracy", "loss"), "b": run_of(0.2, "loss", "perplexity")}
    return Context(collection_of(runs, stages=[]), selection.Selection(), LIGHT, Arrays())


def test_facts_are_numbers_and_texts_by_run(context):
    assert facts_of(context) == {"a": {"lr": 0.1}, "b": {"lr": 0.2}}


def test_the_first_metric_shown_is_a_loss_unless_another_is_selected(context):
    assert metrics_of(context.collection.source.runs) == ["accuracy", "loss", "perplexity"]
    assert shown_metric(context) == "loss"
    context.selection.metric = "perplexity"
    assert shown_metric(context) == "perplexity"
    context.selection.metric = "none of them"
    assert shown_metric(context) == "loss"
