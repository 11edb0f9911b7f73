"""Commands where the operating system refuses: files that cannot grow, as on a full disk, and few open files."""

import os
import resource
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
