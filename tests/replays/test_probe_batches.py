"""Probes in memory."""

import hashlib

import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.probe_batches import as_probe

INPUTS = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 1, 0])


def test_as_probe__of_a_lazy_array_is_lazy_and_of_unknown_hash(no_compute):
    with no_compute():
        probe = as_probe((da.ones((4, 3), chunks=2), da.zeros(4, dtype=int)))
    assert probe.attrs == {"sha256": ""} and probe.inputs.chunks


def test_as_probe__leaves_a_dataset_as_it_is():
    probe = xr.Dataset({"inputs": ("sample", np.ones(3))})
    assert as_probe(probe) is probe


@pytest.mark.parametrize("inputs", ["text", object(), (INPUTS, "labels"), (INPUTS, LABELS, LABELS)])
def test_as_probe__what_is_no_array_is_told(inputs):
    with pytest.raises(BadSetting, match="arrays or tensors|a tensor of inputs"):
        as_probe(inputs)


def test_as_probe__the_hash_is_of_the_bytes():
    digest = hashlib.sha256(b"inputs float32 [5, 2, 3]\n" + INPUTS.numpy().tobytes())
    assert as_probe(INPUTS.numpy()).attrs["sha256"] == digest.hexdigest()


def test_as_probe__arguments_beside_tokens_are_widened_and_lose_their_history():
    pixels = torch.ones(5, 3, dtype=torch.bfloat16, requires_grad=True)
    probe = as_probe({"input_ids": torch.ones(5, 2, dtype=torch.long), "pixel_values": pixels})
    assert probe.pixel_values.dtype == np.float32 and probe.pixel_values.shape == (5, 3)
