import pytest
import torch

from trajlab.errors import MissingData


def test_at__gives_a_state_dict(example):
    state = example.at(7)
    assert set(state) == set(example.weights)
    assert torch.equal(state["fc.bias"], torch.from_numpy(example.weights["fc.bias"].values[7]))
    with pytest.raises(MissingData, match="step 99"):
        example.at(99)


def test_tree__has_a_node_for_each_tensor(example):
    tree = example.tree
    assert tree["weights/fc.weight"]["value"].dims == ("step", "out", "in")
    assert tree["gradients/fc.weight"].sizes["step"] == 20
    assert tree["metrics"]["loss"].sizes["step"] == 20


def test_weights__name_what_is_there(example):
    with pytest.raises(KeyError):
        example.weights["nope"]
    assert "fc.weight (3, 16)" in repr(example.weights)
