"""Laws that hold for every stage found in the folder."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr

import trajlab
from tests.serving import serve
from trajlab.errors import BadSetting
from trajlab.running.help import parameter_help, summary
from trajlab.running.inputs import needs_of
from trajlab.running.settings import settings_of
from trajlab.runs.trajectory import Trajectory
from trajlab.stages import stage, stage_names

STAGES = Path(trajlab.__file__).parent / "stages"

LIBRARIES = {"numpy", "xarray", "dask", "scipy", "sklearn", "threadpoolctl"}
STANDARD = {"collections", "dataclasses", "functools", "hashlib", "importlib", "inspect", "itertools", "math",
            "pkgutil", "types", "typing"}  # fmt: skip
ROOMS = {"errors", "runs.tensors", "sizes", "threads", "scan", "statistics", "replays"}
"""What a stage and its helpers may import, beside the folder of the stage."""

READS_OR_WRITES = {"open", "eval", "exec", "to_zarr", "to_netcdf", "open_zarr", "open_dataset", "open_mfdataset",
                   "open_datatree", "fromfile", "tofile", "memmap", "savez"}  # fmt: skip
COMPUTES = {"compute", "load", "persist"}


def with_plane() -> Trajectory:
    """Return the example with a layer on the plane, as `unit_lines` needs one."""
    example, rng = trajlab.example(), np.random.default_rng(0)
    walk = rng.standard_normal((21, 3, 2)).astype(np.float32).cumsum(0)
    return trajlab.from_arrays(
        {**{name: array.values for name, array in example.weights.items()}, "plane.weight": walk},
        {**{name: array.values for name, array in example.gradients.items()}, "plane.weight": -np.diff(walk, axis=0)},
        metrics=example.metrics,
    )


@pytest.fixture
def example():
    return with_plane()


@cache
def expected(name: str) -> xr.Dataset:
    """Return the result of the example as it is, in one chunk and on one thread."""
    with dask.config.set(scheduler="sync"):
        return trajlab.run(name, serve(name, with_plane())).compute()


def chunked(run: Trajectory, **chunks) -> Trajectory:
    def group(tensors):
        return {name: a.chunk({d: n for d, n in chunks.items() if d in a.dims}).data for name, a in tensors.items()}

    return trajlab.from_arrays(group(run.weights), group(run.gradients), metrics=run.metrics)


def all_lazy(runs: Trajectory | dict[str, Trajectory]) -> Trajectory | dict[str, Trajectory]:
    """Return the same with buffers, and all that is recorded as dask arrays, the probe included.

    The metric `epoch` stays in memory, as steps do: the number of epochs is the size of a dim.
    """
    if not isinstance(runs, Trajectory):
        return {name: all_lazy(run) for name, run in runs.items()}
    lazy = trajlab.from_arrays(
        {name: array.data for name, array in runs.weights.items()},
        {name: array.data for name, array in runs.gradients.items()},
        buffers={"mean": dask.array.zeros((21, 3), chunks=(7, 3), dtype=np.float32)},
        metrics=runs.metrics.chunk().assign({name: runs.metrics[name] for name in runs.metrics if name == "epoch"}),
        moments={entry: {name: a.data for name, a in of.items()} for entry, of in runs.optimizer.moments.items()},
        hyperparameters=runs.optimizer.hyperparameters,
    ).with_model(runs.model, probe=runs.probe.chunk())
    if described := runs.facts.get("describe"):
        model = described["model"]
        arguments = model["arguments"] | {"buffers": {"mean": [3]}}
        lazy.facts = runs.facts | {"describe": {"model": model | {"arguments": arguments}}}
    return lazy


def sources(name: str) -> list[Path]:
    """Return all files of a stage, helpers included."""
    return sorted((STAGES / name).rglob("*.py")) if (STAGES / name).is_dir() else [STAGES / f"{name}.py"]


def offences(source: str, name: str) -> Iterator[str]:
    """Yield what a file of a stage imports or calls that it may not."""
    for node in ast.walk(ast.parse(source)):
        modules = []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module] if node.module and not node.level else [f"relative import of {node.module}"]
            if node.module in ("trajlab", "trajlab.stages"):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            package, _, rest = module.partition(".")
            allowed = rest in ROOMS or rest.split(".")[0] in ROOMS or f"{rest}.".startswith(f"stages.{name}.")
            if not (allowed if package == "trajlab" else package in LIBRARIES | STANDARD):
                yield module
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in READS_OR_WRITES | COMPUTES:
                yield f"{called}()"


@pytest.mark.parametrize(("name", "remedy"), [("dirft", "such as drift$"), ("zzz", ", alerts, .*, zero_gradients$")])
def test_stage__names_that_are_none_are_told_the_nearest(name, remedy):
    with pytest.raises(BadSetting, match=remedy):
        stage(name)


@pytest.mark.parametrize("name", stage_names())
def test_stage__imports_no_torch_no_files_and_no_other_stage(name):
    actual = {(path.name, offence) for path in sources(name) for offence in offences(path.read_text("utf-8"), name)}
    assert not actual


@pytest.mark.parametrize(
    "line",
    ["import torch", "from torch import nn", "import os", "from pathlib import Path", "import zarr", "open('x')",
     "from trajlab.stages.drift import drift", "from trajlab.stages import drift", "import trajlab.running.run",
     "from trajlab import figures", "from trajlab.runs.disk.paths import as_path", "array.compute()",
     "result.to_zarr('x')", "def f():\n    import torch"],
)  # fmt: skip
def test_an_offence_is_found(line):
    assert list(offences(line, "norm"))


def test_a_stage_may_import_its_own_helpers_and_what_is_below():
    lines = "from trajlab.stages.norm.helper import x\nfrom trajlab.scan.scan import scan\nimport dask.array as da"
    assert not list(offences(lines, "norm"))


def test_stages_import_no_torch_and_no_matplotlib_through_others():
    code = (
        "import sys; from trajlab.stages import stage, stage_names; [stage(name) for name in stage_names()]; "
        "print({'torch', 'matplotlib'} & set(sys.modules) or 'none')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "none"


@pytest.mark.parametrize("name", stage_names())
def test_stage__says_what_it_does_and_what_its_settings_are(name):
    function = stage(name)
    assert summary(name).endswith(".")
    assert "Answers:" in inspect.getdoc(function)
    helps = parameter_help(function)
    assert not set([*needs_of(function), *settings_of(function)]) - set(helps)


@pytest.mark.parametrize("name", stage_names())
def test_stage__is_lazy(name, example, no_compute):
    with no_compute():
        trajlab.run(name, serve(name, example))
        trajlab.run(name, all_lazy(serve(name, chunked(example, step=7))))


def test_a_stage_that_computes_is_found(example, no_compute):
    run = all_lazy(serve("evaluation", chunked(example, step=7)))
    asked = {"weight": run.weights["fc.weight"], "gradient": run.gradients["fc.weight"],
             "buffer": run.buffers["mean"], "metrics": run.metrics["loss"], "probe": run.probe["inputs"]}  # fmt: skip
    for array in asked.values():
        with no_compute(), pytest.raises(AssertionError, match="computed"):
            float(array.sum())


@pytest.mark.parametrize("name", stage_names())
def test_stage__every_variable_is_described(name, example):
    result = trajlab.run(name, serve(name, example))
    for variable in result.data_vars.values():
        assert set(variable.attrs) >= {"long_name", "units", "definition"}
    assert result.attrs["stage"] == name
    assert not {"pooling", "column"} & set(map(str, result.variables))  # of tables of scans only


@pytest.mark.parametrize("name", stage_names())
@pytest.mark.parametrize("chunks", [{"step": 1}, {"step": 4, "out": 2, "in": 3}])
def test_stage__any_chunking_gives_the_same_bits(name, example, chunks, monkeypatch):
    whole = expected(name)
    monkeypatch.setattr("trajlab.sizes.BLOCK_BYTES", 500)
    xr.testing.assert_identical(trajlab.run(name, serve(name, chunked(example, **chunks))).compute(), whole)


@pytest.mark.parametrize("name", stage_names())
def test_stage__any_scheduler_gives_the_same_bits(name, example):
    with dask.config.set(scheduler="threads", num_workers=4):
        xr.testing.assert_identical(trajlab.run(name, serve(name, example)).compute(), expected(name))


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
    xr.testing.assert_identical(trajlab.run(name, serve(name, store)).compute(), expected(name))


@pytest.mark.parametrize("name", stage_names())
def test_stage__opens_again_as_it_was_written(name, example, tmp_path):
    from trajlab.running.compute import write

    result = trajlab.run(name, serve(name, example))
    write({tmp_path / "result.zarr": result})
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "result.zarr").compute(), expected(name))
