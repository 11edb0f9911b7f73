import functools

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.stages import stage


def test_run__a_function_of_weights_is_called_for_each(example):
    def largest(weight, *, power=1):
        """Find the largest entry."""
        return abs(weight).max(weight.dims[1:]) ** power

    result = trajlab.run(largest, example, power=2)
    assert result.largest.dims == ("parameter", "step")
    assert result.parameter.values.tolist() == list(example.weights)
    expected = (example.weights["fc.weight"] ** 2).max(["out", "in"])
    np.testing.assert_allclose(result.largest.sel(parameter="fc.weight"), expected, rtol=1e-6)
    assert result.kind.sel(parameter="fc.bias").item() == "bias"
    assert result.attrs["settings"] == '{"power": 2}'


def test_run__a_function_of_weight_and_gradient(example):
    def alignment(weight, gradient):
        return xr.dot(weight, gradient, dim=weight.dims[1:])

    result = trajlab.run(alignment, example)
    assert "frozen.weight" not in result.parameter
    assert result.sizes["step"] == 20


def test_run__a_function_of_everything(example):
    def count(weights, metrics, gradients=None, buffers=None):
        assert buffers is None
        return xr.Dataset({"tensors": len(weights), "gradients": len(gradients), "loss": metrics.loss.mean()})

    assert trajlab.run(count, example).tensors == 5


def test_run__stays_lazy(example, no_compute):
    chunked = trajlab.from_arrays({"w": xr.DataArray(np.ones((4, 3))).chunk().data})
    with no_compute():
        trajlab.run(lambda weight: weight.mean(weight.dims[1:]), chunked)


def test_run__several_runs_are_stacked(example):
    other = trajlab.example(steps=5, seed=1)
    example.facts["describe"] = {"init": "normal", "seed": 0, "model": {"factory": "x:y"}}
    other.facts["describe"] = {"init": "uniform", "seed": 1}
    result = trajlab.run("drift", {"a": example, "b": other}).compute()
    assert result.sizes["run"] == 2 and result.sizes["step"] == 21
    assert result.init.values.tolist() == ["normal", "uniform"]
    assert result.seed.values.tolist() == [0, 1]
    alone = trajlab.run("drift", other).compute()
    np.testing.assert_array_equal(result.norm.sel(run="b").isel(step=slice(6)), alone.norm)
    assert np.isnan(result.norm.sel(run="b").isel(step=slice(6, None))).all()


def test_run__a_parent_is_the_reference(example):
    other = trajlab.example(seed=1)
    result = trajlab.run("drift", other, parent=example, reference=-1).compute()
    end = example.weights["fc.weight"].values[-1].astype(float)
    expected = np.sqrt(((other.weights["fc.weight"].values - end) ** 2).sum((1, 2)))
    np.testing.assert_allclose(result.distance_l2.sel(parameter="fc.weight"), expected, rtol=1e-12)


def restarts(**parents):
    """Return runs of one update that name their parents, the n-th starting at n."""
    runs = {}
    for start, (name, parent) in enumerate(parents.items(), 1):
        runs[name] = trajlab.from_arrays({"w": start + np.arange(2.0)[:, None] * np.ones(3)})
        runs[name].facts["describe"] = {} if parent is None else {"parent": parent}
    return runs


def test_run__recorded_parents_are_those_of_each_run():
    runs = restarts(plain=None, other=None, flipped="plain", late="other")
    actual = trajlab.run("drift", runs, parent="recorded", reference=-1).compute()

    assert actual.run.values.tolist() == ["flipped", "late"]
    assert actual.parent.values.tolist() == ["plain", "other"]
    np.testing.assert_allclose(actual.total_distance_l2, [[3**0.5, 2 * 3**0.5]] * 2)


@pytest.mark.parametrize(
    ("runs", "stage_name", "error", "message"),
    [
        (restarts(a=None), "drift", MissingData, "parents among a: no run names one"),
        (restarts(a=None, b="c"), "drift", MissingData, "parents among a, b: .* c of b"),
        (restarts(a=None, b="a"), "comparison", BadSetting, "'recorded' as parent of comparison"),
        (restarts(a="a")["a"], "drift", BadSetting, "'recorded' as parent of drift"),
    ],
)
def test_run__missing_recorded_parents_are_an_error(runs, stage_name, error, message):
    with pytest.raises(error, match=message):
        trajlab.run(stage_name, runs, parent="recorded")


def test_run__on_gradients(example):
    result = trajlab.run("distribution", example, on="gradients").compute()
    gradient = example.gradients["fc.weight"].values.astype(float)
    np.testing.assert_allclose(result["mean"].sel(parameter="fc.weight"), gradient.mean((1, 2)), rtol=1e-12)
    assert result.attrs["on"] == "gradients"


def test_run__unknown_stage_setting_and_input(example):
    with pytest.raises(BadSetting, match="'drfit'.* drift"):
        trajlab.run("drfit", example)
    with pytest.raises(BadSetting, match="drift .*rtoll.* reference, rtol, atol"):
        trajlab.run("drift", example, rtoll=1)
    with pytest.raises(BadSetting, match="'wieght'.* weight"):
        trajlab.run(lambda wieght: wieght, example)
    with pytest.raises(BadSetting, match="is a int.* Dataset"):
        trajlab.run(lambda weights: 3, example)
    with pytest.raises(MissingData, match="no runs"):
        trajlab.run("drift", {})


def test_run__missing_inputs_are_named():
    run = trajlab.from_arrays({"w": np.zeros((2, 3))})
    with pytest.raises(MissingData, match=r"zero_gradients needs gradient .*no gradients.*Recorder\(gradients=True\)"):
        trajlab.run("zero_gradients", run)
    with pytest.raises(MissingData, match="parent_weight.* parent"):
        trajlab.run(lambda parent_weight: parent_weight, run)


class Largest:
    def __call__(self, weight, *, power=1):
        return abs(weight).max(weight.dims[1:]) ** power


def test_run__a_function_partly_applied_and_an_object(example):
    whole = trajlab.run("drift", example, reference=3).compute()
    part = trajlab.run(functools.partial(stage("drift"), reference=3), example).compute()
    xr.testing.assert_identical(part, whole)
    assert trajlab.run(Largest(), example, power=2).Largest.sizes == {"parameter": 5, "step": 21}
    for nothing in (3, max):
        with pytest.raises(BadSetting, match="as a stage"):
            trajlab.run(nothing, example)


def test_run__settings_of_numpy_are_as_those_of_python(example):
    inputs = {
        "zero_gradients": {"tau": [1e-3, 2e-2]},
        "distribution": {"quantiles": [0.0, 0.5]},
        "drift": {"reference": 3},
    }
    for name, settings in inputs.items():
        arrays = {key: np.array(value)[()] for key, value in settings.items()}
        xr.testing.assert_identical(
            trajlab.run(name, example, **arrays).compute(), trajlab.run(name, example, **settings).compute()
        )


def test_run__numbers_that_yaml_reads_as_text(example):
    with pytest.raises(BadSetting, match=r"'1e-7'.* 1\.0e-7"):
        trajlab.run("zero_gradients", example, tau=["1e-7"])


def test_run__a_function_may_replay_inputs_of_its_own(example):
    def sizes(weights, replay):
        """Count what the network says of two points."""
        return xr.Dataset({"output": replay(probe=np.ones((2, 2), np.float32), layers=[""])[""]})

    run = trajlab.from_arrays({"weight": np.ones((3, 4, 2)), "bias": np.zeros((3, 4))})
    with pytest.raises(MissingData, match="sizes needs replay .*names its network.*--model"):
        trajlab.run(sizes, run)
    run.facts["describe"] = {
        "model": {"factory": "torch.nn:Linear", "arguments": {"in_features": 2, "out_features": 4}}
    }
    output = trajlab.run(sizes, run).output
    assert output.dims == ("step", "sample", "unit") and (output.compute() == 2).all()


def test_run__a_function_that_asks_for_another_run_is_called_for_each_two(example):
    calls = []

    def gap(weights, other_weights, parent_weights=None):
        calls.append((weights, other_weights))
        return abs(weights["fc.bias"] - other_weights["fc.bias"]).max("out")

    runs = {name: trajlab.example(seed=seed) for seed, name in enumerate("abc")}
    result = trajlab.run(gap, runs, parent=example)
    assert len(calls) == 6
    assert result.gap.dims == ("run", "other", "step")
    assert result.other.values.tolist() == ["a", "b", "c", "parent"]
    np.testing.assert_array_equal(result.gap.sel(run="a", other="c"), result.gap.sel(run="c", other="a"))
    assert (result.gap.sel(run="a", other="parent") == 0).all() and np.isnan(result.gap.sel(run="a", other="a")).all()


def test_run__a_tensor_of_another_run_is_given_one_by_one():
    def apart(weight, other_weight):
        return abs(weight - other_weight).max(weight.dims[1:])

    runs = {name: trajlab.example(seed=seed) for seed, name in enumerate("ab")}
    assert trajlab.run(apart, runs).apart.sizes == {"run": 2, "other": 2, "parameter": 5, "step": 21}
