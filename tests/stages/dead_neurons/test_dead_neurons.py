import dask
import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.running.fuse import fuse_scans
from trajlab.runs.tensors import Series
from trajlab.stages.dead_neurons import dead_neurons


def layer(values, *dims, **attrs) -> xr.DataArray:
    """Activations of one layer, dims (step, sample, unit) unless said otherwise."""
    values = np.asarray(values, np.float32)
    return xr.DataArray(values, {"step": np.arange(len(values))}, ("step", *(dims or ("sample", "unit"))), attrs=attrs)


# Unit 0 lives, 1 dies at step 3 and revives at 6, 2 comes to life at 4, dies at 6 and revives at 7, 3 is always dead.
BIAS = np.zeros((9, 4), np.float32)
BIAS[3:6, 1] = BIAS[:4, 2] = BIAS[6, 2] = BIAS[:, 3] = -100
DEAD = (BIAS < 0).astype(float)


def mlp():
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))


@pytest.fixture
def scripted():
    weights = {
        "0.weight": np.ones((9, 4, 2)),
        "0.bias": BIAS,
        "2.weight": np.ones((9, 1, 4)),
        "2.bias": np.ones((9, 1)),
    }
    return trajlab.from_arrays({name: array.astype(np.float32) for name, array in weights.items()})


def test_dead_neurons__tells_births_deaths_and_revivals(scripted):
    result = dead_neurons(trajlab.replay(scripted, model=mlp, probe=torch.rand(20, 2) + 0.1)).compute()

    np.testing.assert_array_equal(result.dead[:, 0], DEAD)
    np.testing.assert_array_equal(result.active_fraction[:, 0], 1 - DEAD)
    np.testing.assert_array_equal(result.fraction_dead[:, 0], DEAD.mean(1))
    for name, steps in {"died": [3, 6], "revived": [6, 7], "born": [4]}.items():
        assert np.isnan(result[name][0, 0])
        assert result.step[1:][result[name][1:, 0] == 1].values.tolist() == steps
        assert result[name].sum() == len(steps)
        np.testing.assert_array_equal(result[f"total_{name}"], result[name][:, 0])
    assert result.layer.values.tolist() == ["1"]
    assert result.source.values.tolist() == ["0"]
    assert result.units.values.tolist() == [4]


def test_dead_neurons__tells_the_life_of_each_unit(scripted):
    result = dead_neurons(trajlab.replay(scripted, model=mlp, probe=torch.rand(20, 2) + 0.1)).compute().isel(layer=0)

    nan = np.nan
    expected = {
        "deaths": [0, 1, 1, 0], "revivals": [0, 1, 1, 0], "first_active": [0, 0, 4, nan],
        "first_death": [nan, 3, 6, nan], "dead_steps": [0, 3, 5, 9], "longest_dead": [0, 3, 4, 9],
        "dead_at_end": [0, 0, 0, 1],
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_array_equal(result[name], values, err_msg=name)
    np.testing.assert_allclose(result.survival, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25])
    np.testing.assert_array_equal(result.total_survival, result.survival)
    assert result.fraction_ever_died == 0.5 and result.fraction_died_for_good == 0
    assert result.deaths.sum() == result.died.sum() and result.revivals.sum() == result.revived.sum()


def test_dead_neurons__deaths_across_a_gap_are_counted_in_lives():
    h = np.array([1, np.nan, -1])[:, None, None]
    result = dead_neurons({"relu": layer(h)}).compute()
    assert np.isnan(result.died).all()
    assert result.deaths.item() == 1 and result.first_death.item() == 2


def test_dead_neurons__the_change_in_dead_units_is_died_less_revived_and_born(rng):
    alive = rng.random((30, 1, 50)) < rng.random(50)
    result = dead_neurons({"relu": layer(alive)}).compute().isel(layer=0)
    np.testing.assert_array_equal(
        result.dead.sum("unit").diff("step"), (result.died - result.revived - result.born)[1:]
    )
    born = alive[:, 0] & (np.cumsum(alive[:, 0], axis=0) == 1)
    np.testing.assert_array_equal(result.born[1:], born[1:].sum(1))
    assert result.born[1:].sum() > 0


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU()
        self.fc1 = nn.Linear(6 * 16, 40)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(40, 2)

    def forward(self, x):
        return self.fc2(self.gelu(self.fc1(self.relu(self.norm(self.conv(x))).flatten(1))))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A few steps of a small network, at a learning rate that kills units."""
    folder = tmp_path_factory.mktemp("dead") / "run"
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        net.norm.bias[:3] = torch.tensor([-100.0, -5.0, -2.0])
        net.fc1.weight[4] = 0
        net.fc1.bias[4] = 0
    inputs = torch.randn(30, 1, 6, 6)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    describe = {"model": {"factory": "nowhere:net"}}
    with trajlab.Recorder(
        net, folder, when=trajlab.every(2), gradients=True, probe=inputs, describe=describe
    ) as recorder:
        for _ in range(13):
            optimizer.zero_grad()
            net(torch.randn(16, 1, 6, 6)).pow(2).mean().backward()
            recorder.step(loss=0.0)
            optimizer.step()
    return trajlab.open(folder)


@pytest.fixture(scope="module")
def seen(trained):
    """Activations of the trained run by a plain loop, (sample, unit, ...) for each step."""
    actual = {"relu": [], "gelu": []}
    inputs = torch.from_numpy(np.array(trained.probe["inputs"].values))
    for step in trained.steps:
        net = Net().eval()
        net.load_state_dict(trained.at(int(step)))
        with torch.no_grad():
            hidden = torch.relu(net.norm(net.conv(inputs)))
            actual["relu"].append(hidden.transpose(1, 2).transpose(2, 3).reshape(-1, 6))
            actual["gelu"].append(nn.functional.gelu(net.fc1(hidden.flatten(1))))
    return {name: torch.stack(rows).double().numpy() for name, rows in actual.items()}


def test_dead_neurons__agrees_with_a_plain_loop(trained, seen):
    result = dead_neurons(trajlab.replay(trained, model=Net), tau=0.5, min_active_fraction=0.2).compute()

    for name, h in seen.items():
        actual = result.sel(layer=name).isel(unit=slice(h.shape[2]))
        np.testing.assert_allclose(actual.active_fraction, (h > 0).mean(1), atol=1e-12)
        np.testing.assert_array_equal(actual.dead, (h == 0).all(1))
        np.testing.assert_array_equal(actual.near_dead, (h != 0).mean(1) < 0.2)
        score = abs(h).mean(1) / abs(h).mean((1, 2))[:, None]
        np.testing.assert_allclose(actual.dormant_score, score, rtol=1e-4)
        np.testing.assert_array_equal(actual.dormant, score <= 0.5)
        np.testing.assert_allclose(actual.fraction_dormant, (score <= 0.5).mean(1))
        assert 0 < actual.dead.sum() < actual.dead.size
    total = np.concatenate([(h == 0).all(1) for h in seen.values()], axis=1).mean(1)
    np.testing.assert_allclose(result.total_fraction_dead, total)
    assert np.isnan(result.dead.sel(layer="relu")[:, 6:]).all()


def test_dead_neurons__proxies_agree_with_what_they_stand_for(trained, seen):
    result = dead_neurons(trajlab.replay(trained, model=Net), trained.gradients, trained.weights, window=4).compute()

    weight = np.stack([trained.at(int(step))["fc1.weight"].numpy() for step in trained.steps])
    static = (weight[1:] == weight[:-1]).all(2)
    actual = result.sel(layer="gelu").isel(unit=slice(40))
    np.testing.assert_array_equal(actual.weight_static[1:], static)
    assert np.isnan(actual.weight_static[0]).all()

    gradient = trained.gradients["conv.weight"].values.reshape(13, 6, -1)
    bias = trained.gradients["conv.bias"].values
    live = ((gradient != 0).any(2) | (bias != 0)).astype(int)
    actual = result.sel(layer="relu").isel(unit=slice(6))
    for position, step in enumerate(trained.steps):
        if step < 3 or step == 13:
            assert np.isnan(actual.gradient_dead[position]).all()
        else:
            expected = live[step - 3 : step + 1].sum(0) == 0
            np.testing.assert_array_equal(actual.gradient_dead[position], expected)
            agree = expected == (seen["relu"][position] <= 0).all(0)
            assert actual.agreement[position] == pytest.approx(agree.mean())
    assert actual.gradient_dead[:, 0].max() == 1
    assert actual.gradient_dead[:, 5].max() == 0
    dead = (seen["gelu"][1:] == 0).all(1)
    np.testing.assert_allclose(result.agreement_static.sel(layer="gelu")[1:], (dead == static).mean(1))


def test_dead_neurons__runs_by_name_with_what_the_run_has(trained, monkeypatch):
    monkeypatch.setitem(trained.facts, "describe", {})
    result = trajlab.run("dead_neurons", trained, window=4)
    assert "dead" not in result
    assert result.layer.values.tolist() == ["conv", "fc1", "fc2"]

    monkeypatch.setitem(trained.facts, "describe", {"model": {"factory": f"{__name__}:Net"}})
    result = trajlab.run("dead_neurons", trained, window=4)
    assert result.layer.values.tolist() == ["relu", "gelu"]
    assert result.source.values.tolist() == ["conv", "fc1"]
    assert result.attrs["probe_sha256"] == trained.probe.attrs["sha256"]
    with dask.config.set(array_optimize=fuse_scans):
        fused = result.compute()
    xr.testing.assert_identical(fused, result.compute())


def test_dead_neurons__is_lazy(trained, no_compute):
    with no_compute():
        dead_neurons(trajlab.replay(trained, model=Net), trained.gradients, trained.weights)


@pytest.mark.parametrize("scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_dead_neurons__any_scheduler_gives_the_same_bits(trained, scheduler):
    result = dead_neurons(trajlab.replay(trained, model=Net), trained.gradients, trained.weights)
    expected = result.compute(scheduler="sync")
    xr.testing.assert_identical(result.compute(scheduler=scheduler, num_workers=2), expected)


@pytest.mark.parametrize("chunks", [{}, {"step": 1}, {"step": 3, "unit": 2}, {"sample": 4, "y": 1}])
def test_dead_neurons__any_chunking_gives_the_same_bits(rng, chunks):
    conv = layer(rng.standard_normal((7, 10, 5, 3, 4)), "sample", "unit", "y", "x")
    linear = layer(rng.standard_normal((7, 10, 3)))
    expected = dead_neurons({"conv": conv, "linear": linear}).compute()

    def cut(array):
        return array.chunk({dim: size for dim, size in chunks.items() if dim in array.dims})

    xr.testing.assert_identical(dead_neurons({"conv": cut(conv), "linear": cut(linear)}).compute(), expected)


def test_dead_neurons__nan_activations_are_counted_and_left_out():
    h = np.array([[[1, np.nan, np.inf], [0, -1, np.nan], [0, 0, np.nan], [3, 0, np.nan]]] * 2)
    result = dead_neurons({"relu": layer(h)}).compute().isel(layer=0)

    np.testing.assert_array_equal(result.nonfinite, [5, 5])
    np.testing.assert_array_equal(result.total_nonfinite, [5, 5])
    np.testing.assert_array_equal(result.active_fraction[0], [0.5, 0, np.nan])
    np.testing.assert_array_equal(result.dead[0], [0, 1, np.nan])
    np.testing.assert_array_equal(result.fraction_dead, [0.5, 0.5])
    mean = (1 + 1 / 3) / 2
    np.testing.assert_allclose(result.dormant_score[0], [1 / mean, 1 / 3 / mean, np.nan])
    np.testing.assert_array_equal(result.died, [np.nan, 0])


def test_dead_neurons__a_unit_that_was_unknown_neither_died_nor_revived():
    h = np.array([1, np.nan, 0, np.nan, 1, 0]).reshape(6, 1, 1)
    result = dead_neurons({"relu": layer(h)}).compute().isel(layer=0)
    np.testing.assert_array_equal(result.died, [np.nan, np.nan, np.nan, np.nan, np.nan, 1])
    np.testing.assert_array_equal(result.revived, [np.nan, np.nan, np.nan, np.nan, np.nan, 0])


def test_dead_neurons__scores_take_what_the_network_rectifies_later():
    h = [[[-8.0, 2.0], [4.0, 2.0]]]
    before = dead_neurons({"fc": layer(h, activation=False)}).compute()
    after = dead_neurons({"tanh": layer(h, activation=True)}).compute()
    np.testing.assert_allclose(before.dormant_score[0, 0], [1.0, 1.0])
    np.testing.assert_allclose(after.dormant_score[0, 0], [1.5, 0.5])


def test_dead_neurons__in_a_layer_that_does_nothing_scores_are_unknown_and_units_dormant():
    result = dead_neurons({"relu": layer(np.zeros((2, 3, 4)))}).compute()
    assert np.isnan(result.dormant_score).all()
    assert (result.dormant == 1).all() and (result.dead == 1).all()


def test_dead_neurons__thresholds_are_as_said():
    h = np.zeros((1, 100, 3))
    h[0, :1, 0] = h[0, :2, 1] = h[0, :, 2] = 1
    result = dead_neurons({"relu": layer(h)}, min_active_fraction=0.02, tau=0.02 / (1.03 / 3)).compute()
    assert result.near_dead[0, 0].values.tolist() == [1, 0, 0]
    assert result.dormant[0, 0].values.tolist() == [1, 1, 0]
    assert result.dead.sum() == 0
    assert (result.attrs["min_active_fraction"], result.attrs["window"]) == (0.02, 10)


def test_dead_neurons__one_step_has_no_transitions():
    result = dead_neurons({"relu": layer([[[1.0, 0.0]]])}).compute()
    assert result.dead[0, 0].values.tolist() == [0, 1]
    assert np.isnan(result.died).all() and np.isnan(result.total_died).all()


@pytest.fixture
def story():
    """Unit 1 of fc gets no gradient at steps 2 to 6, its bias one at step 4; unit 2 gets none at all."""
    weights = {"fc.weight": np.ones((10, 3, 2)), "fc.bias": np.ones((10, 3)), "still.weight": np.ones((10, 2, 2))}
    gradients = {"fc.weight": np.ones((9, 3, 2)), "fc.bias": np.ones((9, 3))}
    gradients["fc.weight"][2:7, 1] = gradients["fc.weight"][:, 2] = 0
    gradients["fc.bias"][2:7, 1] = gradients["fc.bias"][:, 2] = 0
    gradients["fc.bias"][4, 1] = 1e-9
    weights["fc.weight"][4:, 0, 1] = 2
    return trajlab.from_arrays(weights, gradients)


def test_dead_neurons__without_a_model_gradients_tell_over_a_window(story):
    result = trajlab.run("dead_neurons", story, window=2).compute()

    assert result.layer.values.tolist() == ["fc", "still"]
    assert result.step.values.tolist() == list(range(9))
    actual = result.sel(layer="fc")
    nan = np.nan
    np.testing.assert_array_equal(actual.gradient_dead[:, 0], [nan, 0, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(actual.gradient_dead[:, 1], [nan, 0, 0, 1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(actual.gradient_dead[:, 2], [nan, 1, 1, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(actual.fraction_gradient_dead, np.array([nan, 1, 1, 2, 1, 1, 2, 1, 1]) / 3)
    assert "agreement" not in result


def test_dead_neurons__frozen_parameters_are_static_and_have_no_gradient(story):
    result = trajlab.run("dead_neurons", story, window=1).compute().sel(layer="still")
    assert np.isnan(result.gradient_dead).all() and np.isnan(result.fraction_gradient_dead).all()
    assert (result.weight_static[1:, :2] == 1).all()


def test_dead_neurons__weights_alone_tell_what_stayed(story):
    result = dead_neurons(weights=story.weights).compute()
    assert set(result.data_vars) == {"weight_static", "fraction_weight_static", "total_fraction_weight_static"}
    expected = np.ones((10, 3))
    expected[0], expected[4, 0] = np.nan, 0
    np.testing.assert_array_equal(result.weight_static.sel(layer="fc"), expected)
    np.testing.assert_allclose(result.total_fraction_weight_static[1:], (5 - (np.arange(1, 10) == 4)) / 5)


def test_dead_neurons__a_window_longer_than_the_run_tells_nothing(story):
    assert np.isnan(dead_neurons(gradients=story.gradients, window=10).compute().gradient_dead).all()
    assert dead_neurons(gradients=story.gradients, window=9).compute().gradient_dead[8, 0].values.tolist() == [0, 0, 1]


def test_dead_neurons__nan_gradients_are_gradients(story):
    gradient = story.gradients["fc.weight"].copy()
    gradient[3, 2, 0] = np.nan
    result = dead_neurons(gradients={"fc.weight": gradient}, window=1).compute()
    np.testing.assert_array_equal(result.gradient_dead[:, 0, 2], np.arange(9) != 3)


def test_dead_neurons__of_sampled_gradients_it_tells_what_these_show(rng):
    gradient = rng.standard_normal((6, 5, 8))
    gradient[:, 1] = 0
    index = np.array([2, 9, 15, 17, 30])
    life = Series(np.arange(6), gradient.reshape(6, -1)[:, index].astype(np.float32), (5, 8), index)
    run = trajlab.from_arrays({"fc.weight": np.ones((6, 5, 8))}, {"fc.weight": gradient})
    run.gradients.series["fc.weight"] = life
    result = dead_neurons(gradients=run.gradients, window=2).compute().isel(layer=0)
    np.testing.assert_array_equal(result.gradient_dead[3], [0, 1, 0, 0, np.nan])
    assert result.fraction_gradient_dead[3] == 0.25


def test_dead_neurons__embeddings_and_vectors_are_no_layers():
    weights = {"a.weight": np.ones((3, 4, 2)), "b.weight": np.ones((3, 4)), "c.in_proj_weight": np.ones((3, 6, 2))}
    arrays = dict(trajlab.from_arrays(weights).weights)
    arrays["a.weight"].attrs["kind"] = "embedding"
    assert dead_neurons(weights=arrays).layer.values.tolist() == ["c.in_proj_weight"]


def test_dead_neurons__every_variable_is_described(trained):
    result = dead_neurons(trajlab.replay(trained, model=Net), trained.gradients, trained.weights)
    for variable in result.data_vars.values():
        assert set(variable.attrs) >= {"long_name", "units", "definition"}
    assert result.total_died.attrs["total"]
    assert result.stride.values.tolist() == [0, 2, 2, 2, 2, 2, 2, 1]


def test_dead_neurons__of_nothing_says_what_to_try():
    with pytest.raises(MissingData, match="Recorder"):
        dead_neurons()
    with pytest.raises(MissingData, match="weights"):
        dead_neurons(weights=trajlab.from_arrays({"scale": np.ones((3, 2))}).weights)


@pytest.mark.parametrize("settings", [{"window": 0}, {"tau": -1.0}, {"min_active_fraction": 1.5}])
def test_dead_neurons__settings_out_of_range_are_told(settings):
    with pytest.raises(BadSetting, match="window="):
        dead_neurons({"relu": layer(np.ones((2, 3, 4)))}, **settings)


def test_dead_neurons__activations_without_units_or_on_two_probes_are_refused():
    with pytest.raises(BadSetting, match="relu.*step, sample, channel"):
        dead_neurons({"relu": layer(np.ones((2, 3, 4)), "sample", "channel")})
    two = {name: layer(np.ones((2, 3, 4)), probe_sha256=name * 20) for name in "ab"}
    with pytest.raises(BadSetting, match="probe"):
        dead_neurons(two)
