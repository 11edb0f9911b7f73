"""Laws that hold for every stage found in the folder."""

import ast
import inspect
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

import trajlab
from tests.serving import serve
from trajlab.running.help import parameter_help, summary
from trajlab.running.inputs import needs_of
from trajlab.running.settings import settings_of
from trajlab.runs.trajectory import Trajectory
from trajlab.stages import stage, stage_names

FORBIDDEN = {"torch", "matplotlib", "zarr", "safetensors", "os", "pathlib", "open"}


@pytest.fixture
def example(example, rng):
    """With a layer on the plane, as `unit_lines` needs one."""
    walk = rng.standard_normal((21, 3, 2)).astype(np.float32).cumsum(0)
    return trajlab.from_arrays(
        {**{name: array.values for name, array in example.weights.items()}, "plane.weight": walk},
        {**{name: array.values for name, array in example.gradients.items()}, "plane.weight": -np.diff(walk, axis=0)},
    )


def chunked(run: Trajectory, **chunks) -> Trajectory:
    def group(tensors):
        return {name: a.chunk({d: n for d, n in chunks.items() if d in a.dims}).data for name, a in tensors.items()}

    return trajlab.from_arrays(group(run.weights), group(run.gradients), metrics=run.metrics)


@pytest.mark.parametrize("name", stage_names())
def test_stage__imports_no_torch_no_files_and_no_other_stage(name):
    tree = ast.parse((Path(trajlab.__file__).parent / "stages" / f"{name}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not {module.partition(".")[0] for module in imported} & FORBIDDEN
    assert not [module for module in imported if module.startswith("trajlab.stages")]


@pytest.mark.parametrize("name", stage_names())
def test_stage__says_what_it_does_and_what_its_settings_are(name):
    function = stage(name)
    assert summary(name).endswith(".")
    assert "Answers:" in inspect.getdoc(function)
    helps = parameter_help(function)
    assert not set([*needs_of(function), *settings_of(function)]) - set(helps)


@pytest.mark.parametrize("name", stage_names())
def test_stage__is_lazy(name, example, no_compute):
    lazy = chunked(example, step=7)
    with no_compute():
        trajlab.run(name, serve(name, lazy))
        trajlab.run(name, serve(name, example))


@pytest.mark.parametrize("name", stage_names())
def test_stage__every_variable_is_described(name, example):
    result = trajlab.run(name, serve(name, example))
    for variable in result.data_vars.values():
        assert set(variable.attrs) >= {"long_name", "units", "definition"}
    assert result.attrs["stage"] == name


@pytest.mark.parametrize("name", stage_names())
@pytest.mark.parametrize("chunks", [{"step": 1}, {"step": 4, "out": 2}, {"step": -1, "in": 3}])
def test_stage__any_chunking_gives_the_same_bits(name, example, chunks, monkeypatch):
    expected = trajlab.run(name, serve(name, example)).compute()
    monkeypatch.setattr("trajlab.sizes.BLOCK_BYTES", 500)
    xr.testing.assert_identical(trajlab.run(name, serve(name, chunked(example, **chunks))).compute(), expected)


@pytest.mark.parametrize("name", stage_names())
def test_stage__any_scheduler_gives_the_same_bits(name, example):
    with dask.config.set(scheduler="sync"):
        expected = trajlab.run(name, serve(name, example)).compute()
    with dask.config.set(scheduler="threads", num_workers=4):
        xr.testing.assert_identical(trajlab.run(name, serve(name, example)).compute(), expected)


@pytest.mark.parametrize("name", stage_names())
def test_stage__one_step_is_enough(name, example):
    run = trajlab.from_arrays(
        {name: array.values[:1] for name, array in example.weights.items()},
        {name: array.values[:1] for name, array in example.gradients.items()},
    )
    assert "step" in trajlab.run(name, serve(name, run)).compute().dims


@pytest.mark.parametrize("name", stage_names())
def test_stage__takes_nan_and_inf_empty_and_scalar_tensors(name, rng):
    values = rng.standard_normal((5, 4, 6)).astype(np.float32)
    values[2, 0, 0], values[3:, 1], values[4] = np.nan, np.inf, np.nan
    tensors = {
        "a.weight": values, "scalar": np.arange(5.0, dtype=np.float32), "empty": np.zeros((5, 0, 3), np.float32),
        "constant.weight": np.ones((5, 3, 2), np.float32), "conv.weight": values.reshape(5, 2, 3, 2, 2),
    }  # fmt: skip
    run = trajlab.from_arrays(tensors, {name: array[:-1] for name, array in tensors.items()})
    result = trajlab.run(name, serve(name, run)).compute()
    assert result.sizes["step"] >= 3


@pytest.mark.parametrize("name", stage_names())
def test_stage__gaps_in_the_steps_are_allowed_and_said(name, example):
    steps = np.delete(np.arange(21), [4, 5, 9])
    run = trajlab.from_arrays(
        {name: array.values[steps] for name, array in example.weights.items()},
        {name: array.values[steps[:-1]] for name, array in example.gradients.items()},
        steps=steps,
    )
    result = trajlab.run(name, serve(name, run)).compute()
    assert set(result.step.values) <= set(steps)
    if "stride" in result.coords:
        assert result.stride.sel(step=6).item() == 3


@pytest.mark.parametrize("name", stage_names())
def test_stage__a_packed_store_gives_the_same_bits(name, example, tmp_path):
    store = trajlab.open(trajlab.pack(example, tmp_path / "run.zarr"))
    xr.testing.assert_identical(
        trajlab.run(name, serve(name, store)).compute(), trajlab.run(name, serve(name, example)).compute()
    )


@pytest.mark.parametrize("name", stage_names())
def test_stage__opens_again_as_it_was_written(name, example, tmp_path):
    from trajlab.running.compute import write

    result = trajlab.run(name, serve(name, example))
    write({tmp_path / "result.zarr": result})
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "result.zarr").compute(), result.compute())
