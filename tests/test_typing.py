"""The public names are typed for those who use them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import trajlab

CONSUMER = """\
from pathlib import Path

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
trajlab.open(3)
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


@pytest.mark.slow
def test_a_consumer_is_checked_strictly(tmp_path):
    (tmp_path / "consumer.py").write_text(CONSUMER, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "consumer.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    errors = [line for line in done.stdout.splitlines() if line.startswith("consumer.py")]
    assert len(errors) == 1 and 'to "open" has incompatible type "int"' in errors[0], done.stdout + done.stderr
