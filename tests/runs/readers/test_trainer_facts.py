import enum
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import trajlab
from trajlab.runs.readers.trainer_facts import read_arguments, trainer_facts


class Schedule(enum.Enum):
    COSINE = "cosine"


class Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def arguments(**more):
    return SimpleNamespace(learning_rate=0.01, lr_scheduler_type=Schedule.COSINE, seed=3, bf16=False, fp16=True, **more)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_arguments__are_read_without_their_classes(tmp_path, save):
    save(arguments(other=[1, 2]), path := tmp_path / "training_args.bin")
    (tmp_path / "c").mkdir()
    assert trainer_facts(tmp_path, "c", {"model_type": "gpt2", "n_embd": 8, "dtype": "torch.bfloat16"}) == {
        "architecture": "gpt2", "width": 8, "type": "bfloat16", "lr": 0.01, "schedule": "cosine", "seed": 3,
        "fp16": "True",
    }  # fmt: skip
    assert read_arguments(path)["other"] == [1, 2]


def test_arguments__never_run_code(tmp_path):
    torch.save(arguments(code=Code(tmp_path / "ran")), path := tmp_path / "training_args.bin")
    assert read_arguments(path)["seed"] == 3
    path.write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    with pytest.raises(ValueError, match="entries"):
        read_arguments(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"PK\x03\x04", pickle.dumps([1, 2])])
def test_arguments__that_are_damaged_are_left_aside(tmp_path, content):
    (tmp_path / "training_args.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_arguments(tmp_path / "training_args.bin")
    assert trainer_facts(tmp_path, "none", {}) == {}


def test_runs__are_grouped_by_what_their_arguments_say(tmp_path):
    for name, rate in (("a", 0.1), ("b", 0.2)):
        for step in (1, 2):
            (folder := tmp_path / name / f"checkpoint-{step}").mkdir(parents=True)
            torch.save({"w": torch.full((2, 2), float(step))}, folder / "pytorch_model.bin")
            torch.save(SimpleNamespace(learning_rate=rate, seed=0), folder / "training_args.bin")
    runs = {name: trajlab.open(path) for name, path in trajlab.runs_in(tmp_path).items()}
    drift = trajlab.run("drift", runs).compute()
    np.testing.assert_array_equal(drift.lr, [0.1, 0.2])
