from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

import trajlab
from pipelines import zoo
from pipelines.claims import claims_of
from pipelines.settings import read_studies, runs_of, training_of
from pipelines.squeeze_expand import claims

PARAMS = Path(claims.__file__).with_name("params.yaml")
NETS = ["squeeze32", "squeeze8", "squeeze2", "squeeze1", "squeeze_first8", "squeeze_first2", "direct2"]
LAYERS = ["input", "relu1", "relu2", "relu3", "relu5"]
FACTS = {
    "run": [f"x-{net}-{seed}" for net in NETS for seed in (1, 0)],
    "variant": ("run", np.repeat(NETS, 2)),
    "seed": ("run", [1, 0] * len(NETS)),
}
RUNS = len(FACTS["run"])


def each(*values):
    """Return the runs of the squeezed nets these values, and those of the others none."""
    return np.repeat([*values, *[np.nan] * (len(NETS) - len(values))], 2)


@pytest.fixture
def results():
    """Return results in which every claim holds."""
    dims = ("run", "step", "parameter")

    def weights(start, *end):
        first = np.stack([np.full(RUNS, start), each(*end)], 1)[..., None]
        return dims, np.concatenate([first, np.ones_like(first)], 2)

    spectrum = xr.Dataset(
        {
            "spectral_norm": weights(2.0, 3.0, 4.0, 5.0, 6.0),
            "frobenius_norm": weights(10.0, 11.0, 11.5, 12.0, 12.5),
            "stable_rank": weights(25.0, 13.0, 8.0, 6.0, 4.0),
        },
        FACTS | {"step": [0, 9], "parameter": ["fc1.weight", "fc2.weight"]},
    )
    rank = np.stack([each(*values) for values in ([90] * 4, [40] * 4, [20, 8, 2, 1], [20, 8, 2, 1], [9] * 4)], 1)
    accuracy = np.stack(
        [each(*values) for values in ([0.9] * 4, [0.9] * 4, [0.9, 0.8, 0.5, 0.3], [0] * 4, [0.9] * 4)], 1
    )
    top = np.stack([each(*values) for values in ([1] * 4, [1] * 4, [1] * 4, [1, 2, 3, 4], [1] * 4)], 1)
    singular = np.stack([top, np.ones_like(top)], 2)
    embedding = xr.Dataset(
        {
            "effective_rank": (("run", "step", "layer"), rank[:, None]),
            "singular_values": (("run", "step", "layer", "direction"), singular[:, None]),
            "knn_accuracy": (("run", "step", "layer"), accuracy[:, None]),
            "knn_chance": ("run", np.full(RUNS, 0.11)),
        },
        FACTS | {"step": [9], "layer": LAYERS},
    )
    accuracy = (("run", "step"), np.linspace(0.1, 0.9, 2 * RUNS).reshape(RUNS, 2))
    evaluation = xr.Dataset({"accuracy": accuracy}, FACTS | {"step": [0, 9]})
    drift = xr.Dataset({"distance_l2": weights(0.0, 4.0, 6.0, 9.0, 16.0)}, spectrum.coords)
    return {"drift": drift, "spectrum": spectrum, "embedding": embedding, "evaluation": evaluation}


def test_results__that_are_made_up_have_the_names_and_dims_of_real_ones(results):
    net = zoo.squeeze_mlp([12, 8, 2, 6, 2, 4, 10])
    run = trajlab.from_arrays(
        {name: value.detach().numpy()[None].repeat(2, 0) for name, value in net.named_parameters()},
        buffers={name: value.numpy()[None].repeat(2, 0) for name, value in net.named_buffers()},
    )
    inputs = {
        "model": lambda: zoo.squeeze_mlp([12, 8, 2, 6, 2, 4, 10]),
        "probe": (torch.randn(20, 12), torch.arange(20) % 10),
    }
    for name, one in results.items():
        settings = yaml.safe_load(PARAMS.read_text()).get(name, {}) | (
            {"perplexity": 3.0} if name == "embedding" else {}
        )
        real = trajlab.run(name, {"a": run, "b": run}, **inputs, **settings)
        for key, array in one.items():
            assert set(array.dims) == set(real[key].dims), (name, key)
        for dim in {"parameter", "layer"} & {*one.dims}:
            assert set(one[dim].values) <= set(real[dim].values)


def changed(results, name, variable, net, value, **where):
    """Change a variable of the runs of a net at the last step."""
    array = results[name][variable].copy(deep=True)
    array.loc[{"run": [f"x-{net}-0", f"x-{net}-1"], "step": 9} | where] = value
    return results | {name: results[name].assign({variable: array})}


def test_all__hold_where_they_should(results):
    for claim in claims_of("squeeze_expand"):
        assert (claim.__name__, claim(results).holds) == (claim.__name__, "yes")
        assert claim(results).figure in results


def test_singular_values__are_ranked_seed_by_seed(results):
    one = changed(results, "spectrum", "spectral_norm", "squeeze2", [3.5, 5.0], parameter="fc1.weight")
    claim = claims.narrower_squeeze_larger_singular_value(one)

    assert claim.holds == "partly" and "5 of 6 do" in claim.reason
    assert [list(measured.values) for measured in claim.measured[:4]] == [[3, 3], [4, 4], [3.5, 5.0], [6, 6]]
    assert "same first layer" in claim.reason
    other = changed(results, "spectrum", "spectral_norm", "squeeze1", 9.0, parameter="fc2.weight")
    assert claims.narrower_squeeze_larger_singular_value(other).holds == "yes"


def test_singular_values__that_were_larger_at_the_start_are_not_put_down_to_training(results):
    top = results["spectrum"]["spectral_norm"]
    start = top.where((top["variant"] != "squeeze1") | (top["step"] > 0), 6.0)
    claim = claims.narrower_squeeze_larger_singular_value(
        results | {"spectrum": results["spectrum"].assign(spectral_norm=start)}
    )

    assert "same first layer" not in claim.reason


def test_growth__of_the_whole_layer_is_no_shape(results):
    grown = results
    for net in NETS[:4]:
        grown = changed(grown, "spectrum", "stable_rank", net, 25.0, parameter="fc1.weight")

    claim = claims.value_is_more_than_growth(grown)
    assert claim.holds == "no" and "0 of 6 do" in claim.reason and "grows by 25 % at most" in claim.reason
    assert list(claim.measured[3].values) == [16.0, 16.0]
    assert "moves 4 " in claim.reason and "16 with the narrowest" in claim.reason
    assert list(claim.measured[4].values) == pytest.approx([0.1, 0.1])


def test_directions__that_an_expansion_brings_back_are_seen(results):
    back = changed(results, "embedding", "effective_rank", "squeeze32", 60.0, layer="relu3")

    assert claims.expansion_does_not_bring_directions_back(back).holds == "partly"


def test_neighbors__that_tell_more_in_a_narrower_squeeze_are_seen(results):
    accuracy = changed(results, "embedding", "knn_accuracy", "squeeze1", 0.7, layer="relu2")

    assert claims.narrower_squeeze_tells_fewer_digits(accuracy).holds == "partly"


@pytest.mark.parametrize(("size", "seeds", "images"), [("small", 3, 5000), ("all_images", 3, None)])
def test_params__name_the_seven_nets_of_3072_inputs(tmp_path, size, seeds, images):
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(PARAMS.read_text()) | {"size": size}))
    (study,) = read_studies(file).values()

    assert len(runs_of(study)) == len(NETS) * seeds
    widths = [training_of(study, net).model["arguments"]["widths"] for net in NETS]
    assert [own[1:-1] for own in widths] == [
        *([1024, s, 512, s, 256] for s in (32, 8, 2, 1)), [8, 1024, 8, 512, 8, 256], [2, 1024, 2, 512, 2, 256], [2]
    ]  # fmt: skip
    assert all(own[0] == 3 * 32 * 32 and own[-1] == 10 for own in widths)
    assert training_of(study, "squeeze2").images == images
    assert zoo.squeeze_mlp(widths[0]).norm5.num_features == 256


def test_spectra__of_features_are_ranked_seed_by_seed(results):
    claim = claims.narrower_squeeze_more_of_one_direction(results)
    assert [list(line.values) for line in claim.measured[:2]] == [[0.5] * 2, [0.8] * 2]

    flat = changed(results, "embedding", "singular_values", "squeeze1", 1.0, layer="relu3", direction=0)
    assert claims.narrower_squeeze_more_of_one_direction(flat).holds == "partly"


def test_params__train_the_published_networks_as_far_as_known():
    settings = yaml.safe_load(PARAMS.read_text())
    (study,) = read_studies(PARAMS).values()
    counts = {}
    for net in NETS:
        training = training_of(study, net)
        network = zoo.squeeze_mlp(**training.model["arguments"])
        counts[net] = sum(parameter.numel() for parameter in network.parameters())
        assert (training.batch_size, training.image_shape) == (256, [3, 32, 32])

    assert counts == settings["published"]["parameters"]
    assert (counts["squeeze_first8"], counts["squeeze_first2"]) == (59_218, 20_764)
    assert study["optimizers"]["adam"]["class"] == "Adam"
