from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import xarray as xr
import yaml
from torch import nn

import trajlab
from pipelines.channel_statistics import claims
from pipelines.claims import claims_of
from pipelines.differences import Publication, verdict_of
from pipelines.settings import read_studies, runs_of, training_of
from trajlab.reports.claims import ANOTHER, REPEATED, SMALLER

PARAMS = Path(claims.__file__).with_name("params.yaml")
LAYERS = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer4.0.conv1", "layer4.0.conv2"]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return x + self.conv2(torch.relu(self.conv1(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 1)
        self.layer1, self.layer4 = nn.Sequential(Block()), nn.Sequential(Block())

    def forward(self, x):
        return self.layer4(self.layer1(self.conv1(x))).mean((2, 3))


@cache
def computed():
    """Return what the stage finds of two runs that learned and two that did not."""
    torch.manual_seed(0)
    probe = torch.randn(5, 3, 2, 2), torch.randint(0, 4, (5,))
    runs = {
        name: trajlab.from_arrays(
            {key: value.detach().numpy()[None].repeat(2, 0) for key, value in Net().named_parameters()}, steps=[0, 9]
        )
        for name in "abcd"
    }
    actual = trajlab.run("channel_gradients", runs, model=Net, probe=probe).compute()
    return actual.assign_coords(optimizer=("run", ["sgd", "sgd", "still", "still"]))


def result(low=2.0, deep=1.0, untrained=(1.0, 1.0), noise=0.1, correlation=0.2, variance=2.0):
    """Return the same with these numbers: ratios of the runs that learned and of those that did not."""
    actual = computed()
    assert actual["layer"].values.tolist() == LAYERS
    learned = np.array([9.0, low, low, deep, deep])
    control = np.array([9.0, *np.repeat(untrained, 2)])
    ratio = np.stack([np.stack([control, row]) for row in (learned, learned, control, control)])
    numbers = {"cv_ratio": ratio, "norm_correlation": correlation, "median_norm_correlation": correlation}
    numbers["variance_ratio"] = variance
    for name in ("em_sum", "ab_sum"):
        for end in ("", "_variance"):
            numbers |= {f"{name}{end}_channel_cv": 0.5, f"{name}{end}_channel_noise": noise}
    return actual.assign({name: (actual[name] * 0).fillna(0) + values for name, values in numbers.items()})


def both(results, study="net"):
    """Return results of a study with both settings."""
    return {f"{study}/channel_gradients": results, f"{study}/channel_gradients_published": results}


def pretrained(**changes):
    """Return the results of a pretrained network, and of its control."""
    actual = result(**changes)
    same = actual.isel(run=[2, 2]).assign(actual.isel(run=[0, 1]).drop_vars(["run", "optimizer"]).data_vars)
    same, control = same.isel(step=[1], run=[0]), actual.isel(run=[3])
    return both(same) | both(control, "net_untrained")


@pytest.mark.parametrize("results", [lambda: both(result()), pretrained])
def test_all__hold_where_they_should(results):
    results = results() | {"net/evaluation": xr.Dataset()}
    actual = {claim.__name__: claim(results) for claim in claims_of("channel_statistics")}
    assert {name: claim.holds for name, claim in actual.items()} == dict.fromkeys(actual, "yes")
    assert all(claim.figure.startswith("net/channel_gradients") for claim in actual.values())
    lines = [[row.what for row in claim.measured] for claim in actual.values()]
    assert all(len(set(names)) == len(names) for names in lines)


def test_pretrained__networks_are_held_against_their_own_control():
    claim = claims.the_pattern_is_learned(pretrained(low=4.0, untrained=(3.0, 2.0))).measured
    assert [measured.values.tolist() for measured in claim[:4]] == [[4.0], [1.0], [3.0], [2.0]]
    assert claims.the_pattern_is_learned(pretrained(untrained=(3.0, 1.0))).holds == "no"


@pytest.mark.parametrize(
    ("claim", "changes", "holds"),
    [
        ("channels_of_a_layer_differ", {"noise": 0.6}, "no"),
        ("channels_of_a_layer_differ_in_variance", {"noise": 0.6}, "no"),
        ("emission_varies_more_over_images", {"variance": 0.9}, "no"),
        ("emission_varies_more_in_low_layers", {"low": 1.1}, "no"),
        ("both_vary_alike_in_deep_layers", {"deep": 2.0}, "no"),
        ("both_vary_alike_in_deep_layers", {"deep": 0.5}, "no"),
        ("the_pattern_is_learned", {"untrained": (2.0, 1.0)}, "no"),
        ("the_pattern_is_learned", {"low": 1.0, "deep": 2.0, "untrained": (1.0, 3.0)}, "no"),
        ("filter_norms_do_not_explain_emission", {"correlation": 0.9}, "no"),
        ("filter_norms_do_not_explain_emission", {"correlation": -0.9}, "no"),
    ],
)
def test_claims__that_do_not_hold_are_reported_as_such(claim, changes, holds):
    results = both(result(**changes))
    assert getattr(claims, claim)(results).holds == holds
    assert getattr(claims, claim)(both(result(), "other") | results).holds == "partly"


def test_untrained__runs_are_no_measure_of_training():
    claim = claims.emission_varies_more_in_low_layers({"net/channel_gradients": result(untrained=(7.0, 7.0))})
    assert [measured.values.tolist() for measured in claim.measured[:1]] == [[2.0, 2.0]]


def test_channels__that_differ_in_emission_only_hold_in_part():
    actual = result()
    bound = actual["ab_sum_channel_noise"] + actual["ab_sum_channel_cv"]
    claim = claims.channels_of_a_layer_differ({"net/channel_gradients": actual.assign(ab_sum_channel_noise=bound)})

    assert claim.holds == "partly"
    assert [measured.values.tolist() for measured in claim.measured[2::3]] == [[1.0, 1.0], [0.0, 0.0]]


def test_measured__tells_what_the_stage_found():
    actual = computed()
    end = actual.isel(step=-1, run=[0, 1])
    of_norms = claims.filter_norms_do_not_explain_emission({"net/channel_gradients": actual}).measured
    names = ["norm_correlation", "filter_norm_channel_cv", "em_sum_channel_cv", "em_per_norm_channel_cv"]
    for row, name in zip(of_norms[::2], [*names, "out_correlation"], strict=True):
        np.testing.assert_allclose(row.values, end[name].median("layer"))
    net = claims.both_vary_alike_in_deep_layers({"net/channel_gradients": actual}).measured[1]
    np.testing.assert_allclose(net.values, end["net_cv_ratio"].isel(layer=[3, 4]).median("layer"))


def test_emission__over_images_is_compared_in_low_and_deep_layers():
    actual = computed()
    end = actual.isel(step=-1, run=[0, 1])
    rows = claims.emission_varies_more_over_images(both(actual)).measured
    for row, (name, layers) in zip(
        rows,
        [("variance_ratio", slice(None)), ("variance_ratio", [1, 2]), ("variance_ratio", [3, 4]),
         ("relative_variance_ratio", [1, 2]), ("relative_variance_ratio", [3, 4])],
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(row.values, end[name].isel(layer=layers).median("layer"))


def test_published__settings_of_the_networks_are_those_of_torchvision():
    stated = yaml.safe_load(PARAMS.read_text())
    assert stated["channel_gradients_published"] == {"objective": "p_logit", "mode": "train"}
    for name, count in stated["published"]["parameters"].items():
        with torch.device("meta"):
            assert sum(value.numel() for value in getattr(torchvision.models, name)().parameters()) == count
    publication = Publication(PARAMS)
    assert verdict_of(publication.of_variant("channel_statistics/resnet18_cifar10", "")) == ANOTHER


@pytest.mark.parametrize(("network", "verdict"), [("resnet50", SMALLER), ("resnet50_untrained", ANOTHER)])
def test_published__size_repeats_on_fewer_images(tmp_path, network, verdict):
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS.read_text().replace("\nsize: small", "\nsize: published"))
    rows = Publication(file).of_variant(f"channel_statistics/{network}", "")
    assert verdict_of(rows) == verdict
    differing = {row.difference.setting.partition(": ")[2] for row in rows if row.verdict != REPEATED}
    assert differing == {"probe"} | ({"weights"} if verdict == ANOTHER else set())


def test_params__name_the_runs_of_both_sizes(tmp_path):
    small = read_studies(PARAMS)
    assert list(small) == ["channel_statistics/resnet18_cifar10"]
    (study,) = small.values()
    assert [run.name for run in runs_of(study)] == [
        f"kaiming_normal-{optimizer}-{seed}" for optimizer in ("sgd", "still") for seed in (0, 1, 2)
    ]
    assert (training_of(study, "").steps, training_of(study, "").epochs) == (48, None)

    file = tmp_path / "params.yaml"
    file.write_text(PARAMS.read_text().replace("\nsize: small", "\nsize: published"))
    published = read_studies(file)
    networks = [f"resnet{depth}{end}" for depth in (18, 34, 50, 101, 152) for end in ("", "_untrained")]
    assert [name.partition("/")[2] for name in published] == ["resnet18_cifar10", *networks]
    assert training_of(published["channel_statistics/resnet18_cifar10"], "").epochs == 20
    for name in networks:
        study = published[f"channel_statistics/{name}"]
        assert [run.name for run in runs_of(study)] == ["kaiming_normal-still-0"]
        training, (network, *control) = training_of(study, ""), name.split("_")
        assert training.model["factory"] == f"torchvision.models:{network}"
        file = None if control else f"data/weights/{network}.pth"
        assert (training.weights, training.steps) == (file, 40 if control else 0)
