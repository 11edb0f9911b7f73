import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.replays.observers.constants import constants_of
from trajlab.stages.dead_neurons import dead_neurons

# Inputs at which a unit is stuck, and at which it is not though all its values are on one side of zero.
CASES = {
    "ReLU": (nn.ReLU(), [-3.0, -1.0], None),
    "ReLU6 below": (nn.ReLU6(), [-3.0, -1.0], [5.0, 7.0]),
    "ReLU6 above": (nn.ReLU6(), [7.0, 9.0], [-1.0, 9.0]),
    "Hardtanh": (nn.Hardtanh(-2.0, 3.0), [-5.0, -3.0], [-1.5, -1.0]),
    "Hardtanh above": (nn.Hardtanh(-2.0, 3.0), [4.0, 5.0], [-5.0, 5.0]),
    "Hardsigmoid": (nn.Hardsigmoid(), [-9.0, -5.0], [-2.0, -1.0]),
    "Hardswish": (nn.Hardswish(), [-9.0, -5.0], [-2.0, -1.0]),
    "Softshrink": (nn.Softshrink(0.5), [-0.4, 0.3], [-2.0, -1.0]),
    "Threshold": (nn.Threshold(0.5, -7.0), [0.1, 0.2], [0.6, 0.7]),
    "GELU": (nn.GELU(), [-50.0, -60.0], [-1.0, -0.5]),
    "SiLU": (nn.SiLU(), [-500.0, -600.0], [-1.0, -0.5]),
    "LeakyReLU without slope": (nn.LeakyReLU(0.0), [-3.0, -1.0], [1.0, 2.0]),
    "Tanh": (nn.Tanh(), None, [-9.0, -1.0]),
    "LogSigmoid": (nn.LogSigmoid(), None, [-9.0, 1.0]),
    "ELU": (nn.ELU(), None, [-9.0, -1.0]),
    "LeakyReLU": (nn.LeakyReLU(), None, [-9.0, -1.0]),
}


@pytest.mark.parametrize("name", CASES)
def test_dead__is_stuck_at_the_constant_of_the_activation(name):
    module, stuck, moving = CASES[name]
    run = trajlab.from_arrays({"0.weight": np.ones((1, 1, 1), np.float32)})
    net = nn.Sequential(nn.Linear(1, 1, bias=False), module)
    for inputs, expected in ((stuck, 1.0), (moving, 0.0)):
        if inputs is not None:
            layers = trajlab.replay(run, model=net, probe=torch.tensor(inputs)[:, None])
            result = dead_neurons(layers).compute()
            assert result.dead.item() == result.fraction_dead.item() == result.total_fraction_dead.item() == expected
            assert result.near_dead.item() == expected


def test_constants_of__a_subclass_is_what_it_is_made_of():
    class Mine(nn.ReLU):
        pass

    class Odd(nn.Module):
        def forward(self, x):
            return x

    run = trajlab.from_arrays({"0.weight": np.ones((1, 1, 1), np.float32)})
    probe = torch.tensor([[-1.0], [-2.0]])
    for module in (Mine(), Odd()):
        net = nn.Sequential(nn.Linear(1, 1, bias=False), module)
        (layer,) = trajlab.replay(run, model=net, probe=probe, layers=["1"]).layers
        assert constants_of(layer.attrs).can_die is isinstance(module, Mine)
    assert constants_of({"module_class": "Odd"}).can_die is None
    assert constants_of({}).low == 0.0
