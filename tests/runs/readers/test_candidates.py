import numpy as np
from safetensors.numpy import save_file

from trajlab.runs.readers.candidates import OWN_RUN, find_candidates
from trajlab.runs.readers.step_evidence import Source


def save(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"w": np.ones(2, np.float32)}, path)
    return folder


def test_find_candidates__files_and_folders_of_one_step_in_natural_order(tmp_path):
    save(tmp_path, "step10.safetensors", "step9.safetensors", "step11/model.safetensors", ".hidden.safetensors")
    (tmp_path / "notes.txt").write_text("")
    found = find_candidates(tmp_path, None, ())
    assert list(found.entries) == ["step9.safetensors", "step10.safetensors", "step11"]
    assert found.names["step11"].numbers[0].value == 11 and not found.left_aside


def test_find_candidates__shards_are_one_under_the_name_of_the_first(tmp_path):
    save(tmp_path, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    (entries,) = find_candidates(tmp_path, None, ()).entries.values()
    assert [entry.name[:11] for entry in entries] == ["model-00001", "model-00002"]


def test_find_candidates__another_run_and_a_model_without_a_step_are_left_aside(tmp_path):
    save(
        tmp_path,
        "step1.safetensors",
        "step2.safetensors",
        "other/step1/model.safetensors",
        "pretrained/model.safetensors",
    )
    left = find_candidates(tmp_path, None, ()).left_aside
    assert left["other"] == OWN_RUN and "pretrained" in left
    assert not find_candidates(tmp_path, None, (), name_others=False).left_aside.get("other")


def test_find_candidates__a_chosen_reading_takes_what_has_a_step(tmp_path):
    save(tmp_path, "a1.safetensors", "b1.safetensors")
    found = find_candidates(tmp_path, Source("step pattern", {"a1.safetensors": 1}), ())
    assert list(found.entries) == ["a1.safetensors"]
    assert found.left_aside == {"b1.safetensors": "the step pattern does not match its name"}


def test_find_candidates__of_one_name_in_two_formats_one_is_taken(tmp_path):
    save(tmp_path, "step1.safetensors")
    np.savez(tmp_path / "step1.npz", w=np.ones(2))
    found = find_candidates(tmp_path, None, ())
    assert list(found.entries) == ["step1.safetensors"] and "another format" in found.left_aside["step1.npz"]
