import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.replays.model import build, fit, recorded_for, usable_device

LINEAR = {"factory": "torch.nn:Linear", "arguments": {"in_features": 2, "out_features": 3}}


def described(model=None, **tensors):
    run = trajlab.from_arrays(tensors or {"weight": np.zeros((1, 3, 2)), "bias": np.zeros((1, 3))})
    if model is not None:
        run.facts["describe"] = {"model": model}
    return run


def test_build__calls_the_factory_that_the_run_names_with_its_arguments():
    run = described(LINEAR)
    model = build(run, None)
    assert model.weight.shape == (3, 2) and not model.training
    assert build(run, "torch.nn:Linear").weight.shape == (3, 2)  # named again: the same arguments
    assert isinstance(build(run, nn.ReLU), nn.ReLU)  # another: none of them


def test_build__copies_a_network_and_leaves_it_in_training():
    network = nn.Linear(2, 3)
    model = build(described(), network)
    assert model is not network and network.training and not model.training
    assert model.weight.data_ptr() != network.weight.data_ptr()


def test_build__draws_no_number_of_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    build(described(LINEAR), None)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("named", "model", "error", "words"),
    [
        (None, None, MissingData, r"names no model; pass model= \(--model"),
        (
            LINEAR | {"arguments": {"width": 3}},
            None,
            BadSetting,
            "torch.nn:Linear with {'width': 3}: TypeError.*correct",
        ),
        (None, lambda: 7, BadSetting, "returned a int"),
        (None, lambda width: width, BadSetting, "with no arguments: TypeError.*without arguments"),
    ],
)
def test_build__says_what_is_wrong_with_a_factory(named, model, error, words):
    with pytest.raises(error, match=words):
        build(described(named), model)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head, self.norm = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False), nn.BatchNorm1d(4)
        self.head.weight = self.embedding.weight


NORM = {"norm.weight": np.ones((1, 4)), "norm.bias": np.zeros((1, 4))}
STATISTICS = {"norm.running_mean": np.zeros((1, 4)), "norm.running_var": np.ones((1, 4))}


@pytest.mark.parametrize("home", ["embedding.weight", "head.weight"])
def test_fit__tied_weights_may_be_recorded_under_any_of_their_names(home):
    run = trajlab.from_arrays({home: np.zeros((1, 5, 4)), **NORM}, buffers=STATISTICS)
    homes = fit(Tied(), run)
    assert homes["embedding.weight"] == homes["head.weight"] == home
    assert "norm.num_batches_tracked" not in homes and homes["norm.running_mean"] == "norm.running_mean"


def test_fit__takes_names_without_what_wraps_a_network():
    run = trajlab.from_arrays({"weight": np.zeros((1, 3, 2)), "bias": np.zeros((1, 3))})
    assert fit(nn.DataParallel(nn.Linear(2, 3)), run) == {"module.weight": "weight", "module.bias": "bias"}


def test_fit__names_what_is_missing_unexpected_and_of_another_shape():
    run = trajlab.from_arrays({"weight": np.zeros((1, 9, 2)), "scale": np.zeros((1, 1))})
    with pytest.raises(BadSetting) as error:
        fit(nn.Linear(2, 3), run)
    message = str(error.value)
    assert "into Linear" in message and "1 missing in the run (bias)" in message
    assert "1 not in the model (scale)" in message and "weight [3, 2] recorded as [9, 2]" in message
    many = trajlab.from_arrays({f"w{i}": np.zeros((1, 1)) for i in range(6)})
    with pytest.raises(BadSetting, match=r"6 not in the model \(w0, w1, w2, w3 and 2 more\)"):
        fit(nn.ReLU(), many)
    with pytest.raises(BadSetting, match="2 missing in the run .norm.running_mean, norm.running_var"):
        fit(Tied(), trajlab.from_arrays({"head.weight": np.zeros((1, 5, 4)), **NORM}))


class Mixture(nn.Module):
    """A mixture of three experts, held as transformers' networks hold it."""

    def __init__(self):
        super().__init__()
        self.experts = nn.Module()
        self.experts.gate_up_proj = nn.Parameter(torch.zeros(3, 8, 2))
        self.experts.down_proj = nn.Parameter(torch.zeros(3, 2, 4))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = Mixture()


def test_fit__joins_experts_and_names_what_of_them_the_network_lacks():
    rng = np.random.default_rng(0)
    shapes = {"w1.weight": (1, 4, 2), "w2.weight": (1, 2, 4), "w3.weight": (1, 4, 2)}
    experts = {f"mlp.experts.{i}.{part}": rng.random(shape) for part, shape in shapes.items() for i in range(3)}
    run = trajlab.from_arrays(experts)
    assert set(fit(Network(), run)) == {"mlp.experts.gate_up_proj", "mlp.experts.down_proj"}
    joined = np.asarray(recorded_for(Network(), run)["mlp.experts.gate_up_proj"].values)
    np.testing.assert_array_equal(joined[0, 1, 4:], experts["mlp.experts.1.w3.weight"][0])
    biased = trajlab.from_arrays(experts | {"mlp.experts.0.w1.bias": np.ones((1, 4))})
    with pytest.raises(BadSetting, match=r"1 not in the model \(mlp.experts.0.w1.bias\)"):
        fit(Network(), biased)


@pytest.mark.parametrize("device", ["cuda:99", "nothing"])
def test_usable_device__names_those_there_are(device):
    assert usable_device("cpu") == "cpu"
    with pytest.raises(BadSetting, match=f"device '{device}': .*choose one of cpu"):
        usable_device(device)
