import errno
import json
import os

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import trajlab
from trajlab.errors import DamagedData, MissingData


def test_open__reads_steps_as_numbers(checkpoints, rng):
    w = rng.standard_normal((4, 3, 2)).astype(np.float32)
    run = trajlab.open(checkpoints({"fc.weight": w}, steps=[0, 5, 10, 100]))
    assert run.steps.tolist() == [0, 5, 10, 100]
    np.testing.assert_array_equal(run.weights["fc.weight"].values, w)


def test_open__flat_files_and_sharded_folders(tmp_path, rng):
    flat, sharded = tmp_path / "flat", tmp_path / "sharded"
    flat.mkdir()
    for step in (2, 10):
        save_file({"a": torch.full((2, 2), float(step))}, flat / f"net_step{step}.safetensors")
        folder = sharded / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        save_file({"a": torch.full((2, 2), float(step))}, folder / "model-00001-of-00002.safetensors")
        save_file({"b": torch.zeros(3)}, folder / "model-00002-of-00002.safetensors")
        index = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert trajlab.open(flat).weights["a"].values[:, 0, 0].tolist() == [2, 10]
    run = trajlab.open(sharded)
    assert run.weights["a"].values[:, 0, 0].tolist() == [2, 10]
    assert run.weights["b"].shape == (2, 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float64])
def test_open__small_floats_are_widened_exactly(tmp_path, dtype):
    values = torch.randn(64).to(dtype)
    for step in (0, 1):
        save_file({"w": values}, tmp_path / f"step{step}.safetensors")
    run = trajlab.open(tmp_path)
    assert run.weights["w"].dtype == (np.float64 if dtype == torch.float64 else np.float32)
    np.testing.assert_array_equal(run.weights["w"].values[1], values.to(torch.float64).numpy())
    assert run.weights["w"].attrs["stored_dtype"] == str(dtype).removeprefix("torch.")
    assert run.at(1)["w"].dtype == dtype
    assert torch.equal(run.at(1)["w"].view(torch.uint8), values.view(torch.uint8))


def test_open__bfloat16_nan_and_inf_survive(tmp_path):
    values = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0], dtype=torch.bfloat16)
    save_file({"w": values}, tmp_path / "step0.safetensors")
    read = trajlab.open(tmp_path).weights["w"].values[0]
    expected = values.view(torch.int16).numpy().view(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(read, expected)
    assert np.signbit(read[3])


def test_open__buffers_are_told_from_weights(tmp_path):
    save_file(
        {"bn.weight": torch.ones(2), "bn.running_mean": torch.ones(2), "bn.num_batches_tracked": torch.tensor(3)},
        tmp_path / "step1.safetensors",
    )
    run = trajlab.open(tmp_path)
    assert list(run.weights) == ["bn.weight"]
    assert set(run.buffers) == {"bn.running_mean", "bn.num_batches_tracked"}


def test_open__a_truncated_file_is_named_with_its_step(checkpoints):
    folder = checkpoints({"w": np.zeros((3, 50), np.float32)})
    damaged = folder / "checkpoint-1" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(DamagedData, match=r"step 1: .*checkpoint-1.*cut off"):
        trajlab.open(folder)


@pytest.mark.parametrize("content", [b"", b"\x05\0\0\0\0\0\0\0{nope", b"PK\x03\x04 something else entirely"])
def test_open__what_is_no_safetensors_is_named(checkpoints, content):
    folder = checkpoints({"w": np.zeros((2, 5), np.float32)})
    (folder / "checkpoint-1" / "model.safetensors").write_bytes(content)
    with pytest.raises(DamagedData, match=r"step 1: .*model\.safetensors"):
        trajlab.open(folder)


def test_open__a_file_cut_off_after_opening_is_named(checkpoints):
    folder = checkpoints({"w": np.zeros((2, 5000), np.float32)})
    run = trajlab.open(folder)
    damaged = folder / "checkpoint-1" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(DamagedData, match="checkpoint-1"):
        run.weights["w"].compute()


def test_open__a_step_that_is_there_twice_is_an_error(checkpoints):
    folder = checkpoints({"w": np.zeros((2, 5), np.float32)})
    (folder / "checkpoint-01").mkdir()
    (folder / "checkpoint-1" / "model.safetensors").rename(folder / "checkpoint-01" / "model.safetensors")
    checkpoints({"w": np.zeros((1, 5), np.float32)}, steps=["001"], folder=folder)
    with pytest.raises(DamagedData, match="step 1: both"):
        trajlab.open(folder)


def test_open__a_parameter_that_changes_its_shape_is_named_and_the_rest_stays(tmp_path):
    save_file({"a": torch.zeros(3), "b": torch.zeros(2)}, tmp_path / "step0.safetensors")
    save_file({"a": torch.zeros(4), "b": torch.ones(2)}, tmp_path / "step7.safetensors")
    run = trajlab.open(tmp_path)
    assert run.weights["b"].values.tolist() == [[0, 0], [1, 1]]
    with pytest.raises(MissingData, match=r"a as one array.*\(3,\) at step 0.*\(4,\) at step 7"):
        run.weights["a"]


def test_open__a_parameter_that_appears_and_vanishes_has_its_own_steps(tmp_path):
    for step in range(4):
        tensors = {"a": torch.full((2,), float(step))} | ({"late": torch.ones(1)} if step in (1, 2) else {})
        save_file(tensors, tmp_path / f"step{step}.safetensors")
    run = trajlab.open(tmp_path)
    assert run.weights["late"]["step"].values.tolist() == [1, 2]
    drift = trajlab.run("drift", run).compute()
    assert drift.norm.sel(parameter="late").values.tolist()[1:3] == [1, 1]
    assert np.isnan(drift.norm.sel(parameter="late").values[[0, 3]]).all()
    assert np.isnan(drift.total_norm.values[0])


def test_open__an_empty_folder_and_nothing(tmp_path):
    with pytest.raises(MissingData, match="no file of weights"):
        trajlab.open(tmp_path)
    with pytest.raises(MissingData, match="there is nothing"):
        trajlab.open(tmp_path / "nope")


def test_open__a_run_file_of_another_version(checkpoints):
    folder = checkpoints({"w": np.zeros((1, 2), np.float32)})
    (folder / "run.json").write_text('{"format": "trajlab-snapshots-99"}')
    with pytest.raises(DamagedData, match="trajlab-snapshots-99"):
        trajlab.open(folder)


def test_open__reads_no_tensor(checkpoints, no_compute):
    folder = checkpoints({"w": np.zeros((3, 10), np.float32)})
    with no_compute():
        run = trajlab.open(folder)
        assert run.weights["w"].shape == (3, 10)
        run.tree  # noqa: B018


def test_open__metrics_with_a_broken_line_are_named(checkpoints):
    folder = checkpoints({"w": np.zeros((1, 2), np.float32)})
    (folder / "metrics.jsonl").write_text('{"step": 0, "loss": 1.5}\n{"step": 1, "lo\n')
    with pytest.raises(DamagedData, match="line 2 of .*metrics.jsonl"):
        trajlab.open(folder)


def test_open__a_line_of_metrics_that_was_being_written_is_left_out(checkpoints):
    folder = checkpoints({"w": np.zeros((1, 2), np.float32)})
    (folder / "metrics.jsonl").write_text('{"step": 0, "loss": 1.5}\n{"step": 1, "lo')
    assert trajlab.open(folder).metrics.loss.values.tolist() == [1.5]


@pytest.mark.parametrize(
    "entry", ['"describe": []', '"modules": "x"', '"parameters": 3', '"parameters": [[]]', '"probe": 1']
)
def test_open__facts_of_the_wrong_kind_are_named(checkpoints, entry):
    folder = checkpoints({"w": np.zeros((1, 2), np.float32)})
    (folder / "run.json").write_text('{"format": "trajlab-snapshots-1", ' + entry + "}")
    with pytest.raises(DamagedData, match="run.json"):
        trajlab.open(folder)


@pytest.mark.parametrize("line", ['{"step": 1e400}', '{"step": 99999999999999999999}', '{"loss": 1}', "[1]", "\\xff"])
def test_open__lines_that_are_no_metrics_are_named(checkpoints, line):
    folder = checkpoints({"w": np.zeros((1, 2), np.float32)})
    (folder / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(DamagedData, match=r"line 1 of .*metrics\.jsonl"):
        trajlab.open(folder)


@pytest.mark.parametrize("tensors", [{"x": [1, 2]}, {"inputs": [1, 2], "targets": [1, 2, 3]}, {"inputs": 3}])
def test_open__a_probe_that_is_none_is_named(checkpoints, tensors):
    folder = checkpoints({"w": np.zeros((1, 2), np.float32)})
    (folder / "run.json").write_text('{"format": "trajlab-snapshots-1"}')
    save_file({name: torch.tensor(value) for name, value in tensors.items()}, folder / "probe.safetensors")
    with pytest.raises(DamagedData, match=r"probe\.safetensors"):
        trajlab.open(folder)


@pytest.mark.parametrize("kind", ["to nothing", "to itself", "a folder", "not readable"])
def test_open__what_stands_in_the_place_of_a_file_is_named(checkpoints, kind, monkeypatch):
    folder = checkpoints({"w": np.zeros((3, 5), np.float32)})
    target = folder / "checkpoint-1" / "model.safetensors"
    target.unlink()
    if kind == "a folder":
        target.mkdir()
    elif kind == "not readable":
        target.write_bytes(b"")
        monkeypatch.setattr("trajlab.runs.readers.formats.safetensors.read_header", _refuse)
    else:
        target.symlink_to({"to nothing": "nowhere", "to itself": target.name}[kind])
    with pytest.raises(MissingData, match=r"step \d: cannot read .*safetensors: [A-Z]"):
        trajlab.open(folder)


def _refuse(path, cache):
    raise PermissionError(errno.EACCES, "Permission denied", path)


def test_open__pipes_and_links_that_lead_nowhere_are_no_folders(tmp_path):
    save_file({"w": torch.zeros(3)}, tmp_path / "step2.safetensors")
    os.mkfifo(tmp_path / "step1.safetensors")
    (tmp_path / "step3").symlink_to("step3")
    assert trajlab.open(tmp_path).steps.tolist() == [2]
