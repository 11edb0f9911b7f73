"""Commands where the operating system refuses: files that cannot grow, as on a full disk, and few open files."""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import trajlab
from tests.command_line import call
from trajlab.running.compute import write

SMALLEST = 16
"""Bytes that a file may have where the disk is full: fewer than any output of trajlab."""


@contextmanager
def limited(kind, value):
    """Lower a limit of this process."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch):
    """Let commands keep no bytecode: where files cannot grow, Python keeps a part of it, and fails to load it later."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Write a folder of checkpoints, a packed store and results."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "run").mkdir()
    for step in range(3):
        save_file({"w": np.full((4, 3), step, np.float32)}, folder / "run" / f"step{step}.safetensors")
    trajlab.pack(folder / "run", folder / "run.zarr")
    write({folder / "results" / "drift.zarr": trajlab.run("drift", trajlab.open(folder / "run"))})
    for command in (["drift", folder / "run", folder / "x.zarr"], ["figure", folder / "x.zarr", folder / "x.png"]):
        assert call(*command).returncode == 0  # kernels and fonts are in their caches now
    return folder


WRITERS = {
    "pack": ("pack", "{}/run", "{out}"),
    "pack again": ("pack", "{}/run.zarr", "{out}"),
    "stage": ("drift", "{}/run", "{out}"),
    "run": ("run", "{}/run", "{out}", "--stages", "drift,sign_flips"),
    "import": ("import", "{}/run", "{out}"),
    "prune": ("prune", "{}/run", "{out}", "--threshold", "0.5"),
    "figure": ("figure", "{}/results/drift.zarr", "{out}.png"),
    "report": ("report", "{}/results", "{out}.html"),
    "export csv": ("export", "{}/results", "{out}.csv"),
    "export json": ("export", "{}/results", "{out}.json"),
    "export parquet": ("export", "{}/results", "{out}.parquet"),
    "export events": ("export", "{}/results", "{out}"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_cannot_grow_is_one_line_and_leaves_nothing(writer, inputs, tmp_path):
    command = [word.replace("{}", str(inputs)).replace("{out}", str(tmp_path / "out")) for word in WRITERS[writer]]
    with limited(resource.RLIMIT_FSIZE, SMALLEST):
        done = call(*command)
    assert done.returncode == 1, done
    assert done.stderr.splitlines()[-1].startswith("trajlab: cannot ") and "Traceback" not in done.stderr, done.stderr
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not left, left
    assert call(*command).returncode == 0  # what was left behind, if anything, is no obstacle


def test_a_file_that_cannot_grow_leaves_the_old_result(inputs, tmp_path):
    out = tmp_path / "drift.zarr"
    assert call("drift", inputs / "run", out).returncode == 0
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with limited(resource.RLIMIT_FSIZE, SMALLEST):
        assert call("drift", inputs / "run", out, "--overwrite").returncode == 1
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["drift.zarr"]


def test_more_checkpoints_than_open_files_are_read_and_packed(tmp_path):
    files = 100
    for step in range(files):
        torch.save({"w": torch.full((2, 3), float(step))}, tmp_path / f"step{step}.pt")
    held = max(map(int, os.listdir("/proc/self/fd")))
    with limited(resource.RLIMIT_NOFILE, held + files // 2):
        run = trajlab.open(tmp_path)
        np.testing.assert_array_equal(run.weights["w"].values[:, 0, 0], np.arange(files))
        trajlab.pack(run, tmp_path / "run.zarr")
        np.testing.assert_array_equal(
            trajlab.open(tmp_path / "run.zarr").weights["w"].values[:, 1, 2], np.arange(files)
        )


def command_line(*arguments, **variables):
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "trajlab", *map(str, arguments)],
        env=os.environ | variables, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_caches_and_a_home_that_cannot_be_written_to_cost_time_only(inputs, tmp_path):
    nowhere = tmp_path / "file"
    nowhere.touch()  # no folder can be made below it, not even by root
    variables = {"HOME": nowhere / "home", "NUMBA_CACHE_DIR": nowhere / "numba", "MPLCONFIGDIR": nowhere / "matplotlib"}
    variables |= {f"XDG_{kind}_HOME": nowhere / kind for kind in ("CACHE", "CONFIG", "STATE", "DATA")}
    texts = {name: str(path) for name, path in variables.items()}
    for command in (
        ["drift", inputs / "run", tmp_path / "out.zarr"],
        ["figure", tmp_path / "out.zarr", tmp_path / "x.png"],
    ):
        done = command_line(*command, **texts)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


LITTLE = """
import resource, sys
from tests.command_line import call
small, large, out = sys.argv[1:]
names = ("drift", "sign_flips", "pack", "spectrum")
assert not any(call(name, small, f"{out}/{name}-warm.zarr").returncode for name in names)
size = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (size + (150 << 20), resource.RLIM_INFINITY))
for name in names:
    done = call(name, large, f"{out}/{name}.zarr")
    print(name, done.returncode, done.stderr.splitlines()[-1])
"""


@pytest.mark.slow
def test_memory_below_the_working_set_is_enough_or_is_named(tmp_path):
    for name, side in (("small", 32), ("large", 5000)):
        (tmp_path / name).mkdir()
        for step in (1, 2):
            values = np.random.default_rng(step).normal(size=(side, side)).astype(np.float32)
            save_file({"w": values}, tmp_path / name / f"step{step}.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", LITTLE, tmp_path / "small", tmp_path / "large", tmp_path],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert {lines[name][0] for name in ("drift", "sign_flips", "pack")} == {"0"}, lines  # two steps are 200 MB
    assert lines["spectrum"].startswith("1 trajlab: cannot finish: memory is exhausted"), lines
    assert not [path for path in tmp_path.iterdir() if ".part-" in path.name]


@pytest.mark.parametrize("where", ["closed", "full"])
def test_output_that_leads_nowhere_shows_no_traceback(inputs, where):
    read, write_to = os.pipe()
    os.close(read)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "trajlab", "info", str(inputs / "run")],
            stdout=write_to if where == "closed" else full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    os.close(write_to)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
