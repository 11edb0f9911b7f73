import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.running.compute import write
from trajlab.running.inputs import needs_of
from trajlab.stages import stage, stage_names

STAGES = [
    name
    for name in stage_names()
    if name != "filters"
    and not any(
        need.default is need.empty and (asked == "replay" or asked.startswith("other_"))
        for asked, need in needs_of(stage(name)).items()
    )
]
"""Those that look at one run at a time, and need no model, probe or images."""


def net(widths, steps, seed):
    """A run of a net of dense layers, and what told it from others."""
    rng = np.random.default_rng(seed)
    weights, inputs = {}, 2
    for number, width in enumerate(widths):
        weights[f"l{number}.weight"] = rng.standard_normal((len(steps), width, inputs)).cumsum(0)
        weights[f"l{number}.bias"] = rng.standard_normal((len(steps), width)).cumsum(0)
        inputs = width
    gradients = {name: np.round(values[:-1]) for name, values in weights.items()}
    moments = {
        "exp_avg": {name: values / 10 for name, values in weights.items()},
        "exp_avg_sq": {name: values**2 for name, values in weights.items()},
    }
    adam = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": 0.0}
    metrics = {"loss": rng.uniform(1, 2, len(steps))}
    run = trajlab.from_arrays(
        weights, gradients, steps=steps, metrics=metrics, moments=moments,
        hyperparameters=adam | {"updates": np.arange(1.0, 1 + len(steps))},
    )  # fmt: skip
    run.facts["describe"] = {"width": widths[0], "seed": seed}
    return run


@pytest.fixture
def study():
    """Runs of another depth, of another width, and with other steps."""
    return {
        "small": net([4, 3], [0, 10, 20, 30], 0),
        "deep": net([4, 5, 3, 2], [0, 5, 10, 15, 20], 1),
        "wide": net([8, 3], [0, 10, 20, 30], 2),
    }


@pytest.mark.parametrize("name", STAGES)
def test_stack__each_run_is_as_it_is_alone(study, name, no_compute):
    with no_compute():
        stacked = trajlab.run(name, study)
    stacked = stacked.compute()
    for key, run in study.items():
        alone = trajlab.run(name, run).compute()
        if "entry" in alone.dims:
            names = ["parameter_of", "index_of"]
            alone, of_run = alone.set_index(entry=names), stacked.set_index(entry=names).sel(run=key)
        else:
            of_run = stacked.sel(run=key)
        for variable, expected in alone.data_vars.items():
            actual = of_run[variable]
            labels = {dim: expected[dim] for dim in expected.dims if dim in alone.indexes}
            positions = {dim: slice(expected.sizes[dim]) for dim in expected.dims if dim not in alone.indexes}
            here = actual.sel(labels).isel(positions).transpose(*expected.dims)
            np.testing.assert_array_equal(here.values, expected.values, err_msg=f"{variable} of {key}")
            assert int(actual.notnull().sum()) == int(expected.notnull().sum()), variable


def test_stack__coords_come_from_the_runs_that_know_them(study):
    result = trajlab.run("drift", study).compute()
    assert result.parameter.values[:4].tolist() == ["l0.weight", "l0.bias", "l1.weight", "l1.bias"]
    assert result.step.values.tolist() == [0, 5, 10, 15, 20, 30]
    assert result.kind.sel(parameter="l3.bias").item() == "bias"
    assert result.numel.sel(parameter="l0.weight").values.tolist() == [8, 8, 16]
    assert np.isnan(result.numel.sel(parameter="l3.weight", run="small"))
    assert result.stride.sel(step=20).values.tolist() == [10, 5, 10]
    assert result.width.values.tolist() == [4, 4, 8]


def test_stack__coords_that_runs_agree_on_have_no_dim_run(study):
    result = trajlab.run("drift", {"a": study["small"], "b": study["small"]})
    assert result.numel.dims == ("parameter",) and result.numel.dtype == np.int64
    assert result.stride.values.tolist() == [0, 10, 10, 10]


def test_stack__variables_that_one_run_lacks(study):
    def some(weights, gradients=None):
        actual = xr.Dataset({"tensors": len(weights)})
        return actual if gradients is None else actual.assign(gradients=("parameter", np.ones(len(gradients), bool)))

    bare = trajlab.from_arrays({"w": np.zeros((2, 3))})
    result = trajlab.run(some, {"bare": bare, "small": study["small"]})
    assert result.tensors.values.tolist() == [1, 4]
    assert result.gradients.sel(run="small").values.tolist() == [1, 1, 1, 1]
    assert result.gradients.sel(run="bare").isnull().all()


@pytest.mark.slow
def test_report__and_figures_of_runs_of_different_architecture(study, tmp_path):
    write({tmp_path / f"{name}.zarr": trajlab.run(name, study) for name in STAGES})
    page = trajlab.report(tmp_path, tmp_path / "report.html").read_text()
    assert "up to 63 entries in up to 8 tensors" in page
    result = xr.open_zarr(tmp_path / "drift.zarr").load()
    for select in ({}, {"run": "deep"}):
        assert trajlab.figure(result, variable="unchanged_cause", **select).get_xlim()[1] <= 1.1
