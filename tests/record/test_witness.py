"""Processes that do not write."""

import torch
from torch import nn

from trajlab.record import every
from trajlab.record.witness import Witness


def test_witness__of_whole_parameters_gathers_nothing():
    model = nn.Linear(3, 2)
    model(torch.ones(1, 3)).sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    witness = Witness(model, parameters="weight", when=every(1), gradients=2, gradients_when=every(1), seed=0)
    witness.step(0)
    witness.close({})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
