import math

import pytest
import torch
from torch import nn

from pipelines import zoo
from pipelines.inits import RANDOM_BIASES, SCHEMES, initialize
from trajlab.errors import BadSetting


@pytest.fixture
def wide():
    return nn.Sequential(nn.Linear(400, 600), nn.Conv2d(32, 64, 3))


@pytest.mark.parametrize(
    ("scheme", "linear", "convolution"),
    [
        ("kaiming_normal", 2 / 400, 2 / 288),
        ("kaiming_uniform", 2 / 400, 2 / 288),
        ("xavier_normal", 2 / 1000, 2 / (288 + 576)),
        ("xavier_uniform", 2 / 1000, 2 / (288 + 576)),
        ("pytorch", 1 / 1200, 1 / 864),
    ],
)
def test_variance__follows_the_formula(wide, scheme, linear, convolution):
    initialize(wide, scheme, seed=0)

    assert wide[0].weight.var().item() == pytest.approx(linear, rel=0.02)
    assert wide[1].weight.var().item() == pytest.approx(convolution, rel=0.04)
    assert wide[0].weight.mean().item() == pytest.approx(0, abs=4 * math.sqrt(linear / 240_000))


@pytest.mark.parametrize(
    ("scheme", "fan"), [("kaiming_uniform", 6 / 400), ("xavier_uniform", 6 / 1000), ("pytorch", 1 / 400)]
)
def test_uniform__fills_its_range_and_stays_inside(wide, scheme, fan):
    initialize(wide, scheme, seed=0)
    bound = math.sqrt(fan)

    assert bound * 0.999 < wide[0].weight.abs().max().item() <= bound


def test_orthogonal__rows_or_columns_are_orthonormal(wide):
    initialize(wide, "orthogonal", seed=0)
    tall = wide[0].weight
    flat = wide[1].weight.flatten(1)

    torch.testing.assert_close(tall.T @ tall, torch.eye(400), atol=1e-5, rtol=0)
    torch.testing.assert_close(flat @ flat.T, torch.eye(64), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("scheme", "value"), [("ones", 1.0), ("zeros", 0.0)])
def test_constants__are_everywhere(wide, scheme, value):
    initialize(wide, scheme, seed=0)

    assert all((layer.weight == value).all() for layer in wide)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_biases_are_zero_but_for_pytorch_and_normalization_is_one_and_zero(scheme):
    model = zoo.mlp_batchnorm()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 3.0)
    model.norm1.running_mean.fill_(5.0)
    initialize(model, scheme, seed=0)

    linear = [getattr(model, name).bias for name in ("fc1", "fc2", "fc3", "fc4")]
    assert all((bias == 0).all() for bias in linear) == (scheme not in RANDOM_BIASES)
    assert (model.norm1.bias == 0).all() and (model.norm3.bias == 0).all()
    assert (model.norm2.weight == 1).all()
    assert (model.norm1.running_mean == 0).all()


def test_pytorch__starts_as_pytorch_does():
    model = nn.Sequential(nn.Linear(300, 2000), nn.Conv2d(20, 900, 3))
    initialize(model, "pytorch", seed=0)

    for layer in model:
        theirs = type(layer)(*((300, 2000) if isinstance(layer, nn.Linear) else (20, 900, 3)))
        for ours, other in zip(layer.parameters(), theirs.parameters(), strict=True):
            assert ours.abs().max().item() == pytest.approx(other.abs().max().item(), rel=0.01)
            assert ours.std().item() == pytest.approx(other.std().item(), rel=0.05)
    assert not torch.equal(model[0].bias[:900], model[1].bias)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_seed__decides_the_weights_whatever_else_was_drawn(scheme):
    first, second, other = zoo.lenet5(), zoo.lenet5(), zoo.lenet5()
    initialize(first, scheme, seed=1)
    torch.rand(7)
    initialize(second, scheme, seed=1)
    initialize(other, scheme, seed=2)

    assert torch.equal(first.fc1.weight, second.fc1.weight)
    assert torch.equal(first.fc1.weight, other.fc1.weight) == (scheme in ("ones", "zeros"))


def test_initialize__leaves_the_global_generator_alone():
    model = zoo.digits_cnn()
    before = torch.get_rng_state()
    initialize(model, "kaiming_normal", seed=0)

    assert torch.equal(before, torch.get_rng_state())


def test_unknown_scheme__names_the_close_ones(wide):
    with pytest.raises(BadSetting, match="'kaming_normal'; did you mean kaiming_normal or"):
        initialize(wide, "kaming_normal", seed=0)
    with pytest.raises(BadSetting, match="did you mean kaiming_normal or .* or zeros"):
        initialize(wide, "quadratic", seed=0)


def test_unknown_layer__is_named():
    with pytest.raises(BadSetting, match=r"'0' \(Embedding\)"):
        initialize(nn.Sequential(nn.Embedding(3, 4)), "ones", seed=0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_gain__multiplies_the_weights_of_xavier_and_orthogonal_starts(scheme):
    plain, scaled = zoo.cnn(), zoo.cnn()
    initialize(plain, scheme, seed=0)
    initialize(scaled, scheme, seed=0, gain=math.sqrt(2))
    factor = math.sqrt(2) if scheme in ("xavier_normal", "xavier_uniform", "orthogonal") else 1.0

    torch.testing.assert_close(scaled.conv1.weight, factor * plain.conv1.weight)
    if scheme != "pytorch":
        assert all((parameter == 0).all() for name, parameter in scaled.named_parameters() if name.endswith("bias"))


def test_gain__sqrt_2_makes_the_rows_of_an_orthogonal_start_of_norm_sqrt_2(wide):
    initialize(wide, "orthogonal", seed=0, gain=math.sqrt(2))
    flat = wide[1].weight.flatten(1)

    torch.testing.assert_close(flat @ flat.T, 2 * torch.eye(64), atol=2e-5, rtol=0)


@pytest.mark.parametrize("gain", [0.0, -1.0, math.inf, math.nan])
def test_gain__that_is_no_positive_number_is_named(wide, gain):
    with pytest.raises(BadSetting, match=f"gain={gain}"):
        initialize(wide, "orthogonal", seed=0, gain=gain)
