import trajlab
from tests.command_line import call


def test_info__says_what_is_in_a_run(example, tmp_path):
    text = call("info", trajlab.pack(example, tmp_path / "run.zarr")).stdout
    assert "21, steps 0 to 20, every 1" in text
    assert "97 entries in 5 tensors, float32" in text
    assert "4 × 1 × 3 × 3" in text
    assert "frozen.weight never had a gradient" in text
    assert "There is no probe" in text


def test_info__of_a_folder_of_runs_describes_each(example, tmp_path):
    for name in ("a", "b"):
        trajlab.pack(example, tmp_path / "runs" / f"{name}.zarr")
    text = call("info", tmp_path / "runs", "--no-tensors").stdout
    assert [text.count(f"{name}.zarr") for name in ("a", "b")] == [1, 1]
    assert "97 entries in 5 tensors, float32" in text and "4 × 1 × 3 × 3" not in text


def test_info__names_a_few_of_many_frozen_tensors(example):
    example.facts["frozen"] = ["frozen.weight"]
    notes = trajlab.runs.inventory.inventory(example).missing
    assert "frozen.weight had no gradient, as frozen (1 of 5 tensors)." in notes
