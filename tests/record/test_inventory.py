import pytest
import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.record.inventory import take_inventory


class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("kept", torch.zeros(2))
        self.register_buffer("fleeting", torch.zeros(2), persistent=False)
        self.register_buffer("alias", self.kept)

    def get_extra_state(self):
        return {"anything": 1}

    def set_extra_state(self, state):
        pass


def test_inventory__leaves_out_extra_state_and_fleeting_buffers():
    inventory = take_inventory(Stateful())
    assert list(inventory.parameters) == ["weight"]
    assert inventory.buffers == ["kept"]
    assert inventory.tied == {"alias": "kept"}
    assert inventory.copy_state().keys() == {"weight", "kept"}


def test_inventory__copies_are_independent():
    model = nn.Linear(2, 1)
    copies = take_inventory(model).copy_state()
    before = copies["weight"].clone()
    with torch.no_grad():
        model.weight.zero_()
    assert torch.equal(copies["weight"], before)


def test_inventory__refuses_a_lazy_module():
    with pytest.raises(BadSetting, match="weight: it has no shape yet; run the model once"):
        take_inventory(nn.LazyLinear(3))


def test_inventory__parametrized_weights():
    model = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    inventory = take_inventory(model)
    assert set(inventory.copy_state()) == set(model.state_dict())
