"""The public names are typed for those who use them, and `trajlab.run` with the settings of each stage."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import trajlab
from tests.run_stub import STUB, stub
from trajlab.running.settings import settings_of
from trajlab.stages import stage, stage_names

CONSUMER = """\
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from matplotlib.axes import Axes

import trajlab
from trajlab.record import Schedule

run: trajlab.Trajectory = trajlab.open("runs/first", trust=True)
drift: xr.Dataset = trajlab.run("drift", run, reference=-1)
several: xr.DataTree = trajlab.run(["drift", "distribution"], {"a": run})
axes: Axes = trajlab.figure(drift)
page: Path = trajlab.report("results", "report.html")
schedule: Schedule = trajlab.every(1).until(10) | trajlab.every(50)
state: dict[str, torch.Tensor] = run.at(0)
line: trajlab.Trajectory = trajlab.between(run, run)
with trajlab.Recorder(torch.nn.Linear(2, 1), "runs/second", when=schedule) as recorder:
    recorder.step(loss=0.5)
settings: dict[str, Any] = {"reference": -1}
for name in ("drift", "spectrum"):
    drift = trajlab.run(name, run, **settings)


def sparsity(weight: xr.DataArray, *, below: float = 1e-3) -> xr.DataArray:
    return weight < below


drift = trajlab.run(sparsity, run, below=0.1)
trajlab.open(3)  # arg-type
trajlab.run("drift", run, refrence=-1)  # call-overload
trajlab.run("drift", run, rtol="small")  # call-overload
"""


def test_the_stub_has_the_public_names():
    stub = Path(trajlab.__file__).with_suffix(".pyi")
    nodes = ast.parse(stub.read_text(encoding="utf-8")).body
    homes = {alias.asname: (node.module, alias.name) for node in nodes for alias in node.names}

    assert sorted(homes) == trajlab.__all__
    for name, (module, attribute) in homes.items():
        assert name == attribute
        assert module.removeprefix("trajlab.").startswith(trajlab._HOMES[name].split(".")[0])
    assert (Path(trajlab.__file__).parent / "py.typed").exists()


def test_the_stub_of_run_has_the_settings_of_each_stage():
    text = STUB.read_text(encoding="utf-8")
    assert text == stub(), "a stage or a setting changed: run `make stub`"

    overloads = {ast.unparse(node.args.args[0].annotation): node for node in ast.parse(text).body if is_function(node)}
    for name in stage_names():
        arguments = overloads[f"Literal['{name}']"].args
        defaults = dict(zip((option.arg for option in arguments.kwonlyargs), arguments.kw_defaults, strict=True))
        for setting, parameter in settings_of(stage(name)).items():
            assert ast.literal_eval(defaults.pop(setting)) == parameter.default
        assert set(defaults) == set(settings_of(inspect.unwrap(trajlab.run)))


def is_function(node):
    return isinstance(node, ast.FunctionDef)


@pytest.mark.slow
def test_a_consumer_is_checked_strictly(tmp_path):
    (tmp_path / "consumer.py").write_text(CONSUMER, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "consumer.py"]
    root = Path(trajlab.__file__).parents[1]
    # Of an editable installation mypy does not find the hook that imports it.
    environment = os.environ if root.name == "site-packages" else os.environ | {"MYPYPATH": str(root)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    errors = [line for line in done.stdout.splitlines() if line.startswith("consumer.py")]
    lines = CONSUMER.splitlines()
    wrong = {number: line.rpartition("# ")[2] for number, line in enumerate(lines, 1) if "  # " in line}
    codes = {int(error.split(":")[1]): error.rpartition("[")[2].rstrip("]") for error in errors if " error: " in error}
    assert codes == wrong, done.stdout + done.stderr
