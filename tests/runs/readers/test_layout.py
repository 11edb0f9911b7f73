"""Which folders are runs, which are snapshots of one, and which runs a folder holds."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import trajlab
from trajlab.errors import MissingData


def save(folder, *names):
    for name in names:
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"fc.weight": np.ones((2, 3), np.float32)}, path)
    return folder


STUDY = [
    "seed{}",
    "seed_{}",
    "seed-{}",
    "fold{}",
    "fold_{}",
    "run1{}",
    "run-{}",
    "rank{}",
    "version_{}",
    "trial_{}",
    "lr1e-{}",
]


@pytest.mark.parametrize(
    "name", [*STUDY, "lr1e-{}", "2023-05-0{}", "resnet{}8", "exp0{}", "width{}28", "cv{}", "client_{}"]
)
@pytest.mark.parametrize("inside", ["model", "step_5", "checkpoint-5/model", "checkpoints/epoch=1-step=5"])
def test_runs_in__folders_of_seeds_folds_and_versions_are_runs(tmp_path, name, inside):
    for number in (1, 2):
        save(tmp_path, f"{name.format(number)}/{inside}")
    runs = trajlab.runs_in(tmp_path)
    assert sorted(runs) == sorted(name.format(number) for number in (1, 2))
    step = 0 if inside == "model" else 5
    assert [trajlab.open(path).steps.tolist() for path in runs.values()] == [[step], [step]]
    with pytest.raises(MissingData, match="folder of runs"):
        trajlab.open(tmp_path)


def test_runs_in__versions_of_lightning(tmp_path):
    for version in (0, 1):
        folder = tmp_path / "lightning_logs" / f"version_{version}" / "checkpoints"
        folder.mkdir(parents=True)
        for step in (5, 10):
            state = {"fc.weight": torch.full((2, 3), float(step + version))}
            torch.save({"state_dict": state, "global_step": step}, folder / f"epoch={step // 5}-step={step}.ckpt")
    runs = trajlab.runs_in(tmp_path / "lightning_logs")
    assert {name: path.name for name, path in runs.items()} == {"version_0": "checkpoints", "version_1": "checkpoints"}
    opened = {name: trajlab.open(path) for name, path in runs.items()}
    drift = trajlab.run("drift", opened).compute()
    np.testing.assert_allclose(drift.distance_l2.sel(parameter="fc.weight"), [[0, 5 * 6**0.5]] * 2)
    assert drift.attrs["step_source"] == "global_step in the file"
    with pytest.raises(MissingData, match="version_0"):
        trajlab.open(tmp_path)


def test_open__a_run_in_a_folder_of_checkpoints_is_left_aside(tmp_path):
    save(tmp_path, "epoch_17", "epoch_18", "model2/epoch_1", "model2/best_model", "model3/best_model", "logs3/x")
    save(tmp_path, "seed1/epoch_4", "old/step_1", "pretrained/model")
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [17, 18]
    assert sorted(run.left_aside) == ["logs3", "model2", "model3", "old", "pretrained", "seed1"]
    assert set(run.left_aside.values()) == {"a run of its own"}
    assert not trajlab.runs_in(tmp_path)


def test_open__a_folder_of_a_step_that_is_a_run_is_none(tmp_path):
    save(tmp_path, "step_1/model", "step_2/model", "epoch_9/step_100", "epoch_9/step_200")
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [1, 2] and list(run.left_aside) == ["epoch_9"]


def test_open__folders_and_files_of_one_run(tmp_path):
    save(tmp_path, "checkpoint-500/model", "checkpoint-1000/model", "model")
    (tmp_path / "runs").mkdir()
    (tmp_path / "checkpoint-500" / "optimizer.pt").write_bytes(b"")
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [500, 1000] and list(run.left_aside) == ["model.safetensors"]


@pytest.mark.parametrize("inside", ["model", "pytorch_model", "net", "checkpoint"])
def test_runs_in__folders_of_one_model_each(tmp_path, inside):
    save(tmp_path, f"base/{inside}", f"large/{inside}", "data/tokens", "model_card")
    assert list(trajlab.runs_in(tmp_path)) == ["base", "large"]


def test_runs_in__numbered_folders_of_one_model_are_snapshots(tmp_path):
    save(tmp_path, "1/model", "2/model", "10/model")
    assert not trajlab.runs_in(tmp_path)
    assert trajlab.open(tmp_path).steps.tolist() == [1, 2, 10]


def test_open__a_step_pattern_names_the_folders_of_snapshots(tmp_path):
    save(tmp_path, "seed1/model", "seed2/model", "other/step_1")
    run = trajlab.open(tmp_path / "seed1")
    assert run.steps.tolist() == [0]
    save(tmp_path / "by_date", "2023-05-01/model", "2023-05-03/model", "step_4", "step_5")
    run = trajlab.open(tmp_path / "by_date", step_pattern=r"2023-05-(\d+)")
    assert run.steps.tolist() == [1, 3] and sorted(run.left_aside) == ["step_4.safetensors", "step_5.safetensors"]


def test_open__hidden_files_and_empty_folders_are_nothing(tmp_path):
    save(tmp_path, "epoch_1", ".epoch_2", ".cache/epoch_3")
    (tmp_path / "epoch_4").mkdir()
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [1] and not run.left_aside


def test_runs_in__a_folder_of_studies_names_no_run_of_one_of_them(tmp_path):
    save(tmp_path, "adam/seed0/step_1", "adam/seed1/step_1", "sgd/seed0/step_1")
    assert not trajlab.runs_in(tmp_path)
    assert list(trajlab.runs_in(tmp_path / "adam")) == ["seed0", "seed1"]
    with pytest.raises(MissingData, match="seed0"):
        trajlab.open(tmp_path)


def test_runs_in__folders_of_steps_are_not_runs_whatever_lies_in_them(tmp_path):
    save(tmp_path, "iter_0001000/mp_rank_00/model", "iter_0002000/mp_rank_00/model")
    assert not trajlab.runs_in(tmp_path)
