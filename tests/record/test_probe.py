import hashlib

import numpy as np
import torch
from safetensors.torch import load_file

from trajlab.record import Recorder
from trajlab.record.probe import probe_facts, probe_tensors


def test_probe__is_written_and_hashed(tmp_path):
    inputs, targets = torch.randn(3, 2).T.contiguous().T, torch.tensor([2, 0, 1])
    with Recorder(torch.nn.Linear(2, 1), tmp_path / "run", probe=(inputs, targets)):
        pass
    stored = load_file(tmp_path / "run" / "probe.safetensors")
    assert stored.keys() == {"inputs", "targets"}
    assert torch.equal(stored["inputs"], inputs) and torch.equal(stored["targets"], targets)
    digest = hashlib.sha256(b"inputs float32 [3, 2]\n" + np.ascontiguousarray(inputs.numpy()).tobytes())
    digest.update(b"targets int64 [3]\n" + targets.numpy().tobytes())
    assert probe_facts(probe_tensors((inputs, targets)))["sha256"] == digest.hexdigest()


def test_probe__without_targets():
    facts = probe_facts(probe_tensors(torch.ones(4, 2, dtype=torch.bfloat16)))
    assert facts["inputs"] == [4, 2] and facts["targets"] is None


def test_probe__is_a_copy():
    inputs = torch.ones(2, 2)
    kept = probe_tensors(inputs)
    inputs.zero_()
    assert (kept["inputs"] == 1).all()


def test_probe__none():
    assert probe_facts(probe_tensors(None)) is None
