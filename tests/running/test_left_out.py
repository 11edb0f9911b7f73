"""Tensors that are left out are named on stderr, by info, and in the report."""

import pytest
import torch

import trajlab
from tests.command_line import call


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for step in range(3):
        outputs = 5 if step == 2 else 2
        state = {"0.weight": torch.full((3, 4), 1.0 + step), "2.weight": torch.ones(outputs, 3)}
        state["spectral"] = torch.ones(2, dtype=torch.cfloat)
        torch.save({"a": state, "b": {"fc.weight": torch.ones(2, 2) * step}}, folder / f"step{step}.pt")
    return folder


def test_commands__name_on_stderr_what_they_leave_out_once(folder, tmp_path):
    done = call("run", folder, tmp_path / "results", "--stages", "drift,distribution", "--key", "a")
    lines = [line for line in done.stderr.splitlines() if "left out" in line]
    assert done.returncode == 0 and len(lines) == 2
    assert "2.weight left out: its shape changes" in done.stderr and "spectral left out: it is complex" in done.stderr
    page = trajlab.report(tmp_path / "results", tmp_path / "report.html").read_text()
    assert page.count("left out of all totals") == 2
    info = call("info", folder, "--key", "a").stdout
    assert "2.weight is left out: its shape changes" in info and "spectral is left out" in info


def test_pack__says_what_would_be_lost_and_writes_nothing(folder, tmp_path):
    done = call("pack", folder, tmp_path / "run.zarr")
    assert done.returncode == 1 and "a.2.weight" in done.stderr and not (tmp_path / "run.zarr").exists()
    assert "Traceback" not in done.stderr
    done = call("pack", folder, tmp_path / "run.zarr", "--key", "a", "--parameters", "^0")
    assert done.returncode == 0 and "left out" not in done.stderr
    assert list(trajlab.open(tmp_path / "run.zarr").weights) == ["0.weight"]
    done = call("import", folder, tmp_path / "run", "--key", "b")
    assert done.returncode == 0 and list(trajlab.open(tmp_path / "run").weights) == ["fc.weight"]


def test_stages_of_activations_do_not_speak_of_weights():
    from trajlab.running.left_out import takes_tensors
    from trajlab.stages import stage

    assert takes_tensors(stage("drift"), None) and takes_tensors(stage("sign_flips"), None)
    assert not takes_tensors(stage("drift"), "activations") and not takes_tensors(stage("evaluation"), None)
