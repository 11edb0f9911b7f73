import json

import pytest
import torch

from trajlab.errors import MissingData, OutputExists
from trajlab.record.start import begin_run, write_constants

FACTS = {"format": "trajlab-snapshots-1", "gradients": None, "describe": {"seed": 1}}


def begin(folder, resume=False):
    return begin_run(folder, FACTS, resume, lambda step: True, None)


def test_begin_run__in_an_empty_folder_begins_at_0(tmp_path):
    assert begin(tmp_path / "new") == begin(tmp_path / "new", True) == (0, FACTS)
    (tmp_path / "new").mkdir()
    assert begin(tmp_path / "new")[0] == 0 and begin(tmp_path / "new", 0)[0] == 0


@pytest.mark.parametrize(
    ("files", "resume", "error", "words"),
    [
        (["a", "b", "c", "d"], False, OutputExists, "it holds a, b, c….*resume=True"),
        (["a"], True, OutputExists, "not a run, as it has no run.json"),
        ([], 5, MissingData, "at step 5: no run is there"),
    ],
)
def test_begin_run__says_why_it_cannot_begin_there(tmp_path, files, resume, error, words):
    for name in files:
        (tmp_path / name).write_text("")
    with pytest.raises(error, match=words):
        begin(tmp_path, resume)


def test_write_constants__indices_on_disk_hold_when_a_run_is_resumed(tmp_path):
    facts, first = FACTS | {"gradients": {"entries": 2}}, {"w": torch.tensor([1, 5])}
    probe = {"inputs": torch.ones(2, 3)}
    torch.testing.assert_close(write_constants(tmp_path / "run", facts, probe, first), first)
    again = write_constants(tmp_path / "run", facts, probe, {"w": torch.tensor([0, 2])})
    torch.testing.assert_close(again, first)
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == facts
    assert (tmp_path / "run" / "probe.safetensors").exists()
    assert write_constants(tmp_path / "bare", FACTS, {}, {}) == {} and not (tmp_path / "bare" / "gradients").exists()
