import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.stages.change_points import change_points
from trajlab.statistics.unusual import KINDS


@pytest.fixture
def run(rng):
    """A gradient that grows 50-fold for good at step 120, a weight that is moved at 150, a loss that spikes at 80."""
    gradients = {name: rng.standard_normal((200, 6, 5)) for name in ("a.weight", "b.weight")}
    gradients["b.weight"][120:] *= 50
    weights = {name: 1 + 1e-3 * rng.standard_normal((200, 6, 5)).cumsum(0) for name in gradients}
    weights["a.weight"][150:] += 1.0
    loss = np.exp(0.1 * rng.standard_normal(200))
    loss[80] = 30.0
    return trajlab.from_arrays(weights, gradients, metrics={"loss": loss, "epoch": np.arange(200) // 20})


def table(result):
    """Return (series, step, kind) of each change."""
    return {
        (str(result.series.values[i]), int(result.begins[i, j]), KINDS[int(result.kind[i, j])])
        for i, j in np.argwhere(np.isfinite(result.begins.values))
    }


def test_change_points__find_what_was_planted_and_nothing_else(run):
    result = trajlab.run("change_points", run).compute()
    assert table(result) == {
        ("b.weight gradient norm", 120, "jump"), ("network gradient norm", 120, "jump"), ("loss metric", 80, "spike"),
        ("a.weight weight norm", 150, "jump"), ("a.weight update", 150, "spike"), ("network weight norm", 150, "jump"),
    }  # fmt: skip
    assert result.changes.sum() == 6
    norms = np.sqrt((run.gradients["a.weight"].values.astype(float) ** 2).sum((1, 2)))
    np.testing.assert_allclose(result.value.sel(series="a.weight gradient norm"), norms)
    updates = np.abs(np.diff(run.weights["b.weight"].values, axis=0)).mean((1, 2))
    np.testing.assert_allclose(result.value.sel(series="b.weight update")[1:], updates)
    assert result.kind.attrs["flag_meanings"].split()[2] == "jump"


def test_change_points__keep_the_strongest_in_the_order_in_which_they_begin(run):
    loss = run.metrics.loss.values.copy()
    loss[[120, 160]] = 300.0, 8.0
    run.metrics["loss"] = ("step", loss)
    result = trajlab.run("change_points", run, max_changes=2).compute().sel(series="loss metric")
    assert result.begins.values.tolist() == [80, 120] and result.changes == 3


def test_change_points__of_few_values_are_unknown_and_not_none(rng):
    loss = np.exp(0.01 * rng.standard_normal(12))
    short = trajlab.run("change_points", trajlab.from_arrays({}, metrics={"loss": loss[:11]})).compute()
    assert np.isnan(short.changes.values).all()
    assert trajlab.run("change_points", trajlab.from_arrays({}, metrics={"loss": loss})).compute().changes == 0
    loss[11] = 1e9  # the last can be the first outlier
    assert trajlab.run("change_points", trajlab.from_arrays({}, metrics={"loss": loss})).compute().changes == 1


def test_change_points__updates_count_for_each_optimizer_step(rng):
    rows = np.cumsum(np.r_[0, np.ones(60)])[:, None] * np.ones(3)
    steps = np.r_[np.arange(31), 30 + 10 * np.arange(1, 31)]
    result = trajlab.run("change_points", trajlab.from_arrays({"w": rows}, steps=steps)).compute()
    assert result.value.sel(series="w update", step=[30, 40]).values.tolist() == [1.0, 0.1]


def test_change_points__a_norm_of_a_sample_counts_for_the_whole():
    sample = trajlab.from_arrays({}, {"w": np.full((30, 4), 2.0)}).gradients["w"].rename({"out": "sample"})
    sample = sample.assign_coords(index=("sample", np.arange(4))).assign_attrs(shape=(4, 4))
    result = change_points(gradient={"w": sample}).compute()
    assert (result.value == 8.0).all()


def test_change_points__entries_that_are_not_finite_are_named(run):
    run = trajlab.from_arrays({}, {"w": np.where(np.arange(60)[:, None] == 40, np.nan, np.ones((60, 3)))})
    assert table(trajlab.run("change_points", run).compute()) == {("w gradient norm", 40, "nonfinite")}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 5}, "window=5: choose 20 or more"),
        ({"false_alarms": 0.0}, "false_alarms=0.0"),
        ({"smallest_change": 2.0}, "smallest_change=2.0"),
        ({"max_changes": 0}, "max_changes=0"),
    ],
)
def test_change_points__settings_that_make_no_sense(example, settings, message):
    with pytest.raises(BadSetting, match=message):
        trajlab.run("change_points", example, **settings)


def test_change_points__need_something_that_was_recorded():
    with pytest.raises(MissingData, match="no metrics, gradients or weights"):
        change_points()
