import json

import numpy as np
import pytest

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.readers.folder import check_facts, read_facts, read_folder
from trajlab.schema import SNAPSHOTS_VERSION


def test_read_folder__of_plain_checkpoints_says_how_steps_were_read(checkpoints):
    run = read_folder(checkpoints({"w": np.arange(6.0).reshape(2, 3)}, steps=[3, 7]))
    assert run.weights.steps.tolist() == [3, 7] and run.facts["steps"]["source"].startswith("checkpoint in the name")
    assert run.weights["w"].values.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_read_folder__of_a_recorded_run_takes_its_facts(checkpoints):
    folder = checkpoints({"w": np.ones((2, 3)), "mean": np.zeros((2, 1))})
    facts = {"format": SNAPSHOTS_VERSION, "parameters": ["w"], "modules": {"w": "Linear"}, "probe": None}
    (folder / "run.json").write_text(json.dumps(facts))
    run = read_folder(folder)
    assert list(run.weights) == ["w"] and list(run.buffers) == ["mean"]
    assert "probe" not in run.facts and "steps" not in run.facts


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({}, MissingData, "holds no file of weights"),
        ({"a.onnx": b"", "b.onnx": b""}, MissingData, "2 files .onnx"),
        ({"deep/down/step1.npz": None, "deep/down/step2.npz": None}, MissingData, "deep/down does"),
    ],
)
def test_read_folder__without_checkpoints_says_what_is_there(tmp_path, files, error, words):
    for name, raw in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, w=np.ones(2)) if raw is None else path.write_bytes(raw)
    with pytest.raises(error, match=words):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        {"parameters": "w"}, {"parameters": [1]}, {"modules": []}, {"tied": {"a": 1}}, {"probe": {"sha256": 3}},
        {"steps": {"source": 1}}, {"describe": [1]}, {"probe": {"kinds": {"a": 1}}},
    ],
)  # fmt: skip
def test_check_facts__names_the_entry_of_the_wrong_type(entry):
    (key,) = entry
    with pytest.raises(ValueError, match=f"its entry {key} has the wrong type"):
        check_facts(entry)


def test_check_facts__unknown_entries_and_none_are_fine():
    check_facts({"parameters": None, "probe": {"sha256": "ab", "more": 1}, "mine": object()})
    with pytest.raises(ValueError, match="not a mapping"):
        check_facts([1])


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "run.json"), ("[]", "not a JSON object"), ('{"format": "trajlab-snapshots-9"}', "trajlab-snapshots-9")],
)
def test_read_facts__of_a_damaged_or_another_version_is_an_error(tmp_path, text, words):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DamagedData, match=words):
        read_facts(tmp_path)
    (tmp_path / "run.json").unlink()
    assert read_facts(tmp_path) == {}
