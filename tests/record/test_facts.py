import json
import math

import pytest
import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.record.facts import gradient_facts, run_facts
from trajlab.record.inventory import take_inventory
from trajlab.schema import SNAPSHOTS_VERSION


@pytest.fixture
def inventory():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    model[0].bias.requires_grad_(False)
    return take_inventory(model)


def test_run_facts__are_those_of_the_model_and_survive_json(inventory):
    facts = run_facts(inventory, gradients=None, probe=None, describe={"seed": 3, "sizes": (1, 2)})
    assert facts == json.loads(json.dumps(facts)) and facts["format"] == SNAPSHOTS_VERSION
    assert facts["parameters"] == ["0.weight", "0.bias", "1.weight", "1.bias"] and facts["frozen"] == ["0.bias"]
    assert facts["shapes"]["0.weight"] == [3, 2] and facts["modules"]["0"] == "Linear"
    assert facts["describe"] == {"seed": 3, "sizes": [1, 2]} and facts["closed"] is None
    assert set(facts["versions"]) == {"trajlab", "torch", "python"}


@pytest.mark.parametrize("value", [torch.ones(2), {1, 2}, object()])
def test_run_facts__what_json_does_not_hold_is_refused(inventory, value):
    with pytest.raises(BadSetting, match="describe to run.json: .*dicts, lists, strings"):
        run_facts(inventory, gradients=None, probe=None, describe={"x": value})


@pytest.mark.parametrize(("gradients", "entries"), [(True, "all"), (50, 50)])
def test_gradient_facts__say_how_many_entries_were_sampled(gradients, entries):
    facts = gradient_facts(gradients, {"w": torch.arange(5)}, 7, 1.5)
    assert facts == {"entries": entries, "seed": 7, "sampled": {"w": 5}, "clipped": 1.5, "unscaled": True}
    assert gradient_facts(False, {}, 7, None) is None and math.isfinite(facts["clipped"])
