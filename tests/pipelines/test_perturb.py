import copy

import pytest
import torch

from pipelines import zoo
from pipelines.perturb import distort, flip_signs, negate, shift
from trajlab.errors import BadSetting


@pytest.fixture
def pair():
    model = zoo.mlp_batchnorm(in_features=64)
    return model, copy.deepcopy(model)


def is_weight(name):
    return name.startswith("fc") and name.endswith("weight")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_flip_signs__turns_the_share_of_each_weight_and_keeps_magnitudes(pair, share):
    model, before = pair
    flip_signs(model, share, seed=0)

    for (name, after), old in zip(model.named_parameters(), before.parameters(), strict=True):
        flipped = (after == -old) & (old != 0)
        assert torch.equal(after.abs(), old.abs())
        assert flipped.sum().item() == (round(share * old.numel()) if is_weight(name) else 0)


def test_distort__spreads_in_proportion_to_each_weight(pair):
    model, before = pair
    distort(model, 0.1, seed=0)
    ratio = model.fc1.weight / before.fc1.weight

    assert ratio.mean().item() == pytest.approx(1, abs=0.005)
    assert ratio.std().item() == pytest.approx(0.1, rel=0.03)
    assert torch.equal(model.fc1.bias, before.fc1.bias)
    assert torch.equal(model.norm1.weight, before.norm1.weight)


@pytest.mark.parametrize(("disturb", "amount"), [(flip_signs, 0.3), (distort, 0.3)])
def test_seed__decides_what_is_disturbed(pair, disturb, amount):
    first, second = pair
    other = copy.deepcopy(first)
    disturb(first, amount, seed=1)
    disturb(second, amount, seed=1)
    disturb(other, amount, seed=2)

    assert torch.equal(first.fc2.weight, second.fc2.weight)
    assert not torch.equal(first.fc2.weight, other.fc2.weight)


@pytest.mark.parametrize(("disturb", "amount"), [(flip_signs, 1.5), (flip_signs, -0.1), (distort, -1.0)])
def test_amounts_out_of_range__are_named(pair, disturb, amount):
    with pytest.raises(BadSetting, match=f"={amount}"):
        disturb(pair[0], amount, seed=0)


@pytest.mark.parametrize("buffers", [False, True])
def test_negate__turns_all_signs_of_all_parameters_and_buffers_only_by_name(pair, buffers):
    model, before = pair
    for network in pair:
        network.norm1.running_mean.fill_(3.0)
    negate(model, seed=0, buffers=buffers)

    for after, old in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(after, -old)
    assert (model.norm1.running_mean == (-3 if buffers else 3)).all()
    assert (model.norm1.running_var == (-1 if buffers else 1)).all()
    assert model.norm1.num_batches_tracked == before.norm1.num_batches_tracked


def test_shift__adds_the_same_to_all_parameters_and_leaves_buffers(pair):
    model, before = pair
    shift(model, 1e-6, seed=0)

    for after, old in zip(model.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(after.double(), old.double() + 1e-6, atol=1e-7, rtol=0)
    assert (model.norm1.bias == torch.tensor(1e-6)).all() and torch.equal(
        model.norm1.running_mean, before.norm1.running_mean
    )
    with pytest.raises(BadSetting, match="amount=nan"):
        shift(model, float("nan"), seed=0)
