"""Many pairs at once say what each pair says alone."""

import sys

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from trajlab.replays.probe_batches import as_probe
from trajlab.stages.comparison import comparison
from trajlab.stages.comparison.blocks import Study


def net():
    return nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 3))


@pytest.fixture(scope="module")
def study():
    """Three runs with a probe, one of them with a NaN."""
    runs, probe = {}, as_probe((torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3))
    for seed in range(3):
        torch.manual_seed(seed)
        model = net()
        values = {name: value.detach().numpy() for name, value in model.named_parameters()}
        walk = np.random.default_rng(seed)
        steps = {n: (v + 0.1 * walk.standard_normal((5, *v.shape)).cumsum(0)).astype("f4") for n, v in values.items()}
        if seed == 1:
            steps["0.weight"][2, 1, 1] = np.nan
        runs[f"r{seed}"] = trajlab.from_arrays(steps)
        runs[f"r{seed}"].facts["describe"] = {"seed": seed}
    return {name: run.with_model(net, probe=probe) for name, run in runs.items()}


def one_by_one(monkeypatch, runs, **settings):
    with monkeypatch.context() as patch:
        patch.delattr(sys.modules[comparison.__module__], "of_pairs")
        return trajlab.run("comparison", runs, **settings).compute()


@pytest.mark.parametrize(
    "settings",
    [
        {"shuffles": 2},
        {"steps": [0, -1], "absolute": True, "shuffles": 3, "layers": ["1*"], "interpolation": False},
        {"max_units": 5, "interpolation": False},
    ],
)
def test_pairs__together_and_one_by_one_give_the_same(study, monkeypatch, settings):
    expected = one_by_one(monkeypatch, study, **settings)
    actual = trajlab.run("comparison", study, **settings).compute()
    assert set(actual) == set(expected) and actual.attrs == expected.attrs
    for name in expected:
        assert actual[name].attrs == expected[name].attrs
        xr.testing.assert_allclose(actual[name], expected[name].transpose(*actual[name].dims), rtol=1e-9, atol=1e-12)


def test_pairs__are_lazy_and_few_tasks(study, no_compute):
    with no_compute():
        lazy = trajlab.run("comparison", {f"{name}{i}": run for i in range(4) for name, run in study.items()},
                           interpolation=False, features=False)  # fmt: skip
    assert sum(len(layer) for layer in lazy.__dask_graph__().layers.values()) < 800  # 66 pairs, 62,000 tasks one by one


def test_pairs__with_a_parent(study, monkeypatch):
    runs = {name: study[name] for name in ("r0", "r1")}
    settings = {"parent": study["r2"], "interpolation": False, "shuffles": 2}
    expected, actual = one_by_one(monkeypatch, runs, **settings), trajlab.run("comparison", runs, **settings).compute()
    assert actual.other.values.tolist() == ["r0", "r1", "parent"]
    np.testing.assert_allclose(actual.distance, expected.distance, rtol=1e-12)
    np.testing.assert_allclose(actual.matched_features, expected.matched_features, rtol=1e-9)


def test_study__of_runs_that_differ_is_not_uniform(rng):
    def arguments(*runs):
        return [{"weight": a.weights, "other_weight": b.weights, "activations": None, "other_activations": None}
                for a, b in zip(runs, runs[1:], strict=False)]  # fmt: skip

    same = [trajlab.from_arrays({"w": rng.standard_normal((3, 4, 2))}) for _ in range(3)]
    assert Study(arguments(*same)).is_uniform() and Study(arguments(*same)).pairs.tolist() == [[0, 1], [1, 2]]
    for values, steps in ((rng.standard_normal((3, 4, 3)), None), (rng.standard_normal((3, 4, 2)), [0, 1, 3])):
        assert not Study(arguments(*same, trajlab.from_arrays({"w": values}, steps=steps))).is_uniform()


def test_pairs__any_scheduler_gives_the_same(study):
    lazy = trajlab.run("comparison", study, interpolation=False, features=False)
    with dask.config.set(scheduler="sync"):
        expected = lazy.compute()
    xr.testing.assert_allclose(lazy.compute(scheduler="threads", num_workers=3), expected, rtol=1e-12)
