import pytest
import torch
from torch import nn

from trajlab.runs.readers.optimizer_content import find_states


def trained(kind=torch.optim.AdamW, **settings):
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1, bias=False))
    optimizer = kind(model.parameters(), **settings)
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"optimizer": state, "epoch": 3},
        lambda state: {"optimizer_states": [state], "state_dict": {"w": torch.ones(2)}},
        lambda state: {"trainer": {"optim": state}},
    ],
)
def test_find_states__wherever_they_lie(wrap):
    _, optimizer = trained(lr=0.1, betas=(0.8, 0.95))
    (state,), why = find_states(wrap(optimizer.state_dict()))
    assert why == "" and state.keys == [[0, 1, 2]]
    assert state.settings[0]["lr"] == 0.1 and state.settings[0]["beta2"] == 0.95
    assert set(state.entries[1]) == {"exp_avg", "exp_avg_sq"} and float(state.counts[1]) == 1.0


def test_find_states__of_several_optimizers():
    states = [trained()[1].state_dict() for _ in range(2)]
    actual, _ = find_states({"optimizer_states": states})
    assert [state.keys for state in actual] == [[[0, 1, 2]]] * 2


def test_find_states__takes_names_that_the_optimizer_was_made_with():
    model, _ = trained()
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
    (state,), _ = find_states(optimizer.state_dict())
    assert state.names == {0: "0.weight", 1: "0.bias", 2: "1.weight"}


def test_find_states__takes_the_count_of_a_group_for_its_parameters():
    group = {"params": [0, 1], "lr": 0.1, "step": 7}
    (state,), _ = find_states({"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [group]})
    assert state.counts == {0: 7, 1: 7} and "step" not in state.settings[0]


def test_find_states__of_names_without_groups():
    (state,), _ = find_states({"state": {"fc.weight": {"exp_avg": torch.ones(2), "step": 3}}})
    assert state.keys == [["fc.weight"]] and state.counts == {"fc.weight": 3}


@pytest.mark.parametrize(
    "content",
    [{}, [], 3, {"state": {}}, {"state": {"epoch": 3}}, {"model": {"w": torch.ones(1)}},
     {"state": {0: 3}, "param_groups": [3, {"params": 4}]}],
)  # fmt: skip
def test_find_states__where_there_is_none(content):
    assert find_states(content) == ([], "")


def test_find_states__says_what_is_parted_among_processes():
    states, why = find_states({"optimizer_state_dict": {"base_optimizer_state": {}, "zero_stage": 1}})
    assert states == [] and "DeepSpeed" in why


def test_find_states__bounds_what_it_reads():
    group = {"params": list(range(11)), "lr": 0.1}
    with pytest.raises(ValueError, match="groups"):
        find_states({"state": {}, "param_groups": [group] * 100_001})
