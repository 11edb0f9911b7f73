"""What cannot be recorded is said at construction."""

import pytest
import torch

from trajlab.errors import BadSetting
from trajlab.record import Recorder


class FullyShardedDataParallel(torch.nn.Linear):
    """Has the name of torch's wrapper."""


class Engine(torch.nn.Module):
    """Looks as DeepSpeed's engine does."""

    def __init__(self, stage):
        super().__init__()
        self.module, self.stage = torch.nn.Linear(2, 1), stage

    def zero_optimization_stage(self):
        return self.stage


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            torch.nn.Sequential(FullyShardedDataParallel(2, 1)),
            "cannot record 0: FullyShardedDataParallel holds flattened",
        ),
        (Engine(3), "cannot record under DeepSpeed's ZeRO-3.*zero_to_fp32.py"),
        (Engine(2), "cannot record gradients under DeepSpeed's ZeRO-2.*gradients=False"),
    ],
)
def test_what_cannot_be_recorded__is_said_at_construction(model, words, tmp_path):
    with pytest.raises(BadSetting, match=words):
        Recorder(model, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_zero_2__is_recorded_without_gradients(read, tmp_path):
    Recorder(Engine(2), tmp_path / "run", gradients=False).close()
    assert read(tmp_path / "run").checkpoints[0].keys() == {"weight", "bias"}
