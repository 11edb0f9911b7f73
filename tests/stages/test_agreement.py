"""The stages on a real training run, against numpy and scipy on what the safetensors library reads."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file
from scipy import stats
from sklearn.decomposition import PCA
from torch.nn import functional

import trajlab
from pipelines import train, zoo

STEPS = 60


def _study(name: str, factory: str) -> dict:
    training = {
        "model": {"factory": factory, "arguments": {}}, "dataset": name, "steps": STEPS, "batch_size": 64,
        "weights_every": 2, "gradients": 500, "probe": 100,
    }  # fmt: skip
    return {"optimizers": {"adam": {"class": "Adam", "lr": 0.003}}, "training": training}


@pytest.fixture(scope="module", params=["digits", "mnist"])
def folder(request, tmp_path_factory):
    """A run of a small convolutional net on digits, or of LeNet on MNIST."""
    if request.param == "mnist" and not Path(os.environ.get("TRAJLAB_DATA", "nowhere"), "MNIST").is_dir():
        pytest.skip("TRAJLAB_DATA names no folder with MNIST")
    folder = tmp_path_factory.mktemp(request.param)
    factory = {"digits": "pipelines.zoo:digits_cnn", "mnist": "pipelines.zoo:lenet5"}[request.param]
    (folder / "params.yaml").write_text(yaml.safe_dump({"studies": {"s": _study(request.param, factory)}}))
    threads = torch.get_num_threads()
    train.main("s", "kaiming_normal", "adam", 0, data=folder, params=folder / "params.yaml")
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")
    return folder / "snapshots" / "s" / "kaiming_normal-adam-0"


@pytest.fixture(scope="module")
def weights(folder):
    steps = range(0, STEPS + 1, 2)
    rows = [load_file(folder / f"checkpoint-{step}" / "model.safetensors") for step in steps]
    return {
        name: np.stack([row[name] for row in rows])
        for name in json.loads((folder / "run.json").read_text())["parameters"]
    }


@pytest.fixture(scope="module")
def gradients(folder):
    files = sorted((folder / "gradients").glob("[0-9]*.safetensors"), key=lambda file: int(file.name.split("-")[0]))
    parts = [load_file(file) for file in files]
    return {name: np.concatenate([part[name] for part in parts]).reshape(STEPS, -1) for name in parts[0]}


@pytest.fixture(scope="module")
def indices(folder):
    return load_file(folder / "gradients" / "indices.safetensors")


@pytest.fixture(scope="module")
def run(folder):
    return trajlab.open(folder)


def flat(rows):
    return rows.reshape(len(rows), -1).astype(np.float64)


def test_drift(run, weights):
    result = trajlab.run("drift", run).compute()
    for name, rows in {**weights, "total": np.hstack([flat(rows) for rows in weights.values()])}.items():
        w = flat(rows)
        actual = (
            result[[v for v in result if v.startswith("total_")]] if name == "total" else result.sel(parameter=name)
        )
        prefix = "total_" if name == "total" else ""
        distance, update = np.linalg.norm(w - w[0], axis=1), np.linalg.norm(np.diff(w, axis=0), axis=1)
        np.testing.assert_allclose(actual[prefix + "norm"], np.linalg.norm(w, axis=1), rtol=1e-12)
        np.testing.assert_allclose(actual[prefix + "distance_l2"], distance, rtol=1e-12)
        np.testing.assert_allclose(actual[prefix + "path_length"][1:], np.cumsum(update), rtol=1e-12)
        np.testing.assert_allclose(actual[prefix + "straightness"][1:], distance[1:] / np.cumsum(update), rtol=1e-12)
        np.testing.assert_allclose(actual[prefix + "changed"], (w != w[0]).mean(1), rtol=1e-12)


def test_distribution(run, weights):
    result = trajlab.run("distribution", run).compute()
    for name, rows in weights.items():
        w, actual = flat(rows), result.sel(parameter=name)
        np.testing.assert_allclose(actual["std"], w.std(1), rtol=1e-12)
        np.testing.assert_allclose(actual.skewness, stats.skew(w, axis=1), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(actual.excess_kurtosis, stats.kurtosis(w, axis=1), rtol=1e-9, atol=1e-9)
        exact = w.shape[1] <= result.attrs["exact_up_to"]
        for step in (7, 30):
            np.testing.assert_allclose(
                actual.quantiles[step],
                np.quantile(w[step], result["quantile"]),
                rtol=1e-6 if exact else 1 / 128,
                atol=1e-5,
            )
            bound = 1e-12 if exact else (abs(w[step]).mean() + abs(w[0]).mean()) / 256
            assert abs(actual.wasserstein[step] - stats.wasserstein_distance(w[step], w[0])) <= bound
            assert abs(actual.ks_prev[step] - stats.ks_2samp(w[step], w[step - 1], method="asymp").statistic) <= (
                1e-12 if exact else 0.01
            )
            assert actual.histogram[step].sum() == w.shape[1]


def test_spectrum(run, weights):
    result = trajlab.run("spectrum", run).compute()
    assert result.parameter.values.tolist() == [name for name, rows in weights.items() if rows.ndim > 2]
    for name in result.parameter.values:
        rows, actual = weights[name], result.sel(parameter=name)
        s = np.linalg.svd(rows.reshape(*rows.shape[:2], -1).astype(np.float64), compute_uv=False)
        np.testing.assert_allclose(actual.singular_values[:, : s.shape[1]], s, rtol=1e-9)
        np.testing.assert_allclose(actual.effective_rank, np.exp(stats.entropy(s, axis=1)), rtol=1e-9)
        np.testing.assert_allclose(actual.mp_spikes[0], 0)  # weights as they were drawn are noise


def test_projection(run, weights):
    result = trajlab.run("projection", run, components=3).compute()
    for name, rows in {**weights, "total": np.hstack([flat(rows) for rows in weights.values()])}.items():
        actual, prefix = (result, "total_") if name == "total" else (result.sel(parameter=name), "")
        pca = PCA(3, svd_solver="full").fit(flat(rows))
        scores = pca.transform(flat(rows))
        np.testing.assert_allclose(
            actual[prefix + "explained_variance_ratio"], pca.explained_variance_ratio_, rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(actual[prefix + "scores"], -np.sign(scores[0]) * scores, atol=1e-9)


def test_zero_gradients(run, weights, gradients, indices):
    result = trajlab.run("zero_gradients", run, tau=[1e-5], relative=[0.1]).compute()
    for name, rows in gradients.items():
        g, actual = rows.astype(np.float64), result.sel(parameter=name)
        limits = np.stack([np.full(STEPS, 1e-5), 0.1 * np.sqrt((g**2).mean(1))])
        for k, limit in enumerate(limits):
            near = abs(g) <= limit[:, None]
            np.testing.assert_array_equal(actual.near_zero.isel(tau=k), near[1:].sum(1))
            np.testing.assert_array_equal(actual.released.isel(tau=k), (near[:-1] & ~near[1:]).sum(1))
            zero = actual.transitions.isel(tau=k).sel(state_prev="zero", state_next="zero")
            np.testing.assert_array_equal(zero, ((g[1:] == 0) & (g[:-1] == 0)).sum(1))
        assert actual.always_zero.sum() == (g == 0).all(0).sum()
        assert np.isnan(actual.weight_change).all()  # weights are recorded at every second step only


def test_sign_flips(run, weights, gradients):
    result = trajlab.run("sign_flips", run).compute()
    for name, rows in gradients.items():
        sign = np.sign(rows)
        flips, signed = (sign[1:] * sign[:-1] < 0).sum(1), (sign[1:] * sign[:-1] != 0).sum(1)
        actual = result.sel(parameter=name, step=slice(1, STEPS - 1))
        np.testing.assert_array_equal(actual.flips, flips)
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(actual.flip_rate, flips / signed)
        w = np.sign(flat(weights[name]))
        actual = result.weight_flips.sel(parameter=name, step=slice(2, STEPS, 2))
        np.testing.assert_array_equal(actual, (w[1:] * w[:-1] < 0).sum(1))


def test_dead_neurons(run, folder):
    result = trajlab.run("dead_neurons", run).compute()
    facts = json.loads((folder / "run.json").read_text())["describe"]["model"]
    model = getattr(zoo, facts["factory"].partition(":")[2])(**facts["arguments"]).eval()
    probe = torch.from_numpy(load_file(folder / "probe.safetensors")["inputs"])
    layers = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.ReLU)}
    assert result.layer.values.tolist() == list(layers)
    for step in (0, 30, STEPS):
        state = load_file(folder / f"checkpoint-{step}" / "model.safetensors")
        model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        seen = {}
        hooks = [
            module.register_forward_hook(lambda _, __, output, seen=seen, name=name: seen.update({name: output}))
            for name, module in layers.items()
        ]
        with torch.no_grad():
            model(probe)
        for hook in hooks:
            hook.remove()
        for name, activation in seen.items():
            active = (activation > 0).double().transpose(0, 1).flatten(1).mean(1).numpy()
            actual = result.sel(layer=name, step=step)
            np.testing.assert_allclose(actual.active_fraction[: len(active)], active, atol=2e-3)
            size = functional.relu(activation).double().transpose(0, 1).flatten(1).mean(1)
            dormant = (size / size.mean() <= 0.025).numpy()
            assert (actual.dormant[: len(active)] != dormant).sum() == 0
            assert actual.fraction_dead == pytest.approx((active == 0).mean(), abs=1e-12)
