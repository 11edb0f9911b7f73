import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import trajlab
from trajlab.errors import MissingData
from trajlab.stages.sign_flips import sign_flips


def bowl(curvature, rate, steps=30):
    """Gradient descent on ½λw²: g = λw, w ← (1 − ηλ)w."""
    w = np.array([(1 - rate * curvature) ** t for t in range(steps + 1)])[:, None]
    return trajlab.from_arrays({"w": w}, {"w": curvature * w[:-1]})


def test_sign_flips__a_bowl_is_crossed_never_or_always():
    slow = sign_flips(bowl(1.0, 0.5).gradients["w"], bowl(1.0, 0.5).weights["w"]).compute()
    fast = sign_flips(bowl(1.0, 1.5).gradients["w"], bowl(1.0, 1.5).weights["w"]).compute()
    gradient_steps = slice(1, 29)
    assert (slow.flip_rate.sel(step=gradient_steps) == 0).all()
    assert (fast.flip_rate.sel(step=gradient_steps) == 1).all()
    assert (fast.weight_flip_rate == 1).all() and (slow.weight_flip_rate == 0).all()
    assert (fast.minima.sel(step=gradient_steps) == 1).all()
    assert (fast.maxima.sel(step=gradient_steps) == 0).all()
    assert (fast.run_length.sel(step=gradient_steps) == 1).all()
    assert np.isinf(slow.run_length.sel(step=gradient_steps)).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.05, 1.95).filter(lambda x: abs(x - 1) > 0.01), min_size=1, max_size=6))
def test_sign_flips__in_a_bowl_axes_flip_always_or_never_and_have_no_maxima(rates):
    """Each axis of a quadratic bowl flips at all steps if 1 < ηλ < 2 and at none if ηλ < 1."""
    w = (1 - np.array(rates)) ** np.arange(9)[:, None]
    run = trajlab.from_arrays({"w": w}, {"w": np.array(rates) * w[:-1]})
    result = sign_flips(run.gradients["w"], run.weights["w"]).compute().sel(step=slice(1, 7))
    over = sum(rate > 1 for rate in rates)
    assert (result.flips == over).all() and (result.minima == over).all() and (result.maxima == 0).all()
    np.testing.assert_allclose(result.minima_rate, over / len(rates))
    assert (result.maxima_rate == 0).all() and (result.minima_rate_se == 0).all()


def test_sign_flips__what_passes_extrema_is_a_share_of_what_could_flip(example):
    result = trajlab.run("sign_flips", example).compute()
    for one in (result, result.sel(parameter="conv.weight")):
        prefix = "total_" if one is result else ""
        signed = one[prefix + "flips"] / one[prefix + "flip_rate"]
        for name in ("minima", "maxima"):
            np.testing.assert_allclose(one[f"{prefix}{name}_rate"], one[prefix + name] / signed)
    apart = trajlab.from_arrays({n: a.values[::2] for n, a in example.weights.items()}, steps=np.arange(0, 21, 2))
    without = sign_flips(example.gradients, apart.weights).compute()
    assert without.flips.notnull().any() and without.minima_rate.isnull().all()


def test_sign_flips__a_hill_is_crossed_over_its_top():
    run = trajlab.from_arrays({"w": np.array([[0.5], [-0.5]])}, {"w": np.array([[-0.5], [0.5]])})
    result = sign_flips(run.gradients["w"], run.weights["w"]).compute()
    assert (result.maxima.item(), result.minima.item()) == (1, 0)


def test_sign_flips__zero_is_no_sign():
    g = np.array([[1, 0, -1, 1, -0.0], [-1, 1, 0, 1, 1]], np.float32)
    result = sign_flips(trajlab.from_arrays({}, {"w": g}).gradients["w"]).compute()
    assert result.flips.item() == 1
    assert result.flip_rate.item() == 1 / 2


def test_sign_flips__tiny_values_do_not_underflow():
    g = np.array([[1e-38], [-1e-38]], np.float32)
    assert sign_flips(trajlab.from_arrays({}, {"w": g}).gradients["w"]).compute().flips.item() == 1


def test_sign_flips__noise_flips_as_chance_says(rng):
    rho, noise = 0.6, rng.standard_normal((200, 4000))
    for t in range(1, 200):
        noise[t] = rho * noise[t - 1] + np.sqrt(1 - rho**2) * noise[t]
    coin = rng.standard_normal((200, 4000))
    result = trajlab.run("sign_flips", trajlab.from_arrays({}, {"ar1": noise, "coin": coin})).compute()
    rate = result.flip_rate.mean("step")
    assert rate.sel(parameter="coin") == pytest.approx(0.5, abs=2e-3)
    assert rate.sel(parameter="ar1") == pytest.approx(np.arccos(rho) / np.pi, abs=2e-3)
    np.testing.assert_allclose(result.flip_rate_ar1.mean("step"), rate, atol=2e-3)
    assert result.run_length.sel(parameter="coin")[-1] == pytest.approx(2, abs=0.02)


def ar1(rng, rho, entries, steps):
    """Return Gaussian AR(1) processes, (step, entry)."""
    noise = rng.standard_normal((steps, entries))
    for t in range(1, steps):
        noise[t] = rho * noise[t - 1] + np.sqrt(1 - np.square(rho)) * noise[t]
    return noise


def chance(gradients):
    """Return the mean flip rate and its null."""
    result = trajlab.run("sign_flips", trajlab.from_arrays({}, {"w": gradients}), relative=[]).compute()
    return result.flip_rate.mean().item(), result.flip_rate_ar1.mean().item()


@pytest.mark.parametrize("rho", [-0.9, -0.5, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("scale", ["same", "log-normal", "falling", "1e-100"])
@pytest.mark.parametrize("entries", [5, 4000])
def test_sign_flips__the_null_is_exact_for_one_correlation_whatever_the_scales(rng, rho, scale, entries):
    steps = 16_000 // entries + 8
    noise = ar1(rng, rho, entries, steps)
    factors = {
        "same": 1.0,
        "log-normal": np.exp(1.5 * rng.standard_normal(entries)),
        "falling": 0.5 ** (np.arange(steps)[:, None] % 20),
        "1e-100": 1e-100,
    }
    rate, null = chance(noise * factors[scale])
    assert rate == pytest.approx(np.arccos(rho) / np.pi, abs=0.012)
    assert null == pytest.approx(rate, abs=0.04 if entries == 5 else 0.012)


def test_sign_flips__the_null_weighs_small_entries_like_large_ones(rng):
    """Of 95 % coin tosses and 5 % large constant gradients the null was 0.185 where each counted by its square."""
    coins = rng.standard_normal((10, 20_000))
    coins[:, :1000] = 10.0
    rate, null = chance(coins)
    assert rate == pytest.approx(0.475, abs=3e-3) and null == pytest.approx(rate, abs=0.01)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("rhos", [(1.0, 0.0), (0.9, 0.3), (0.9, -0.9), (1.0, -0.45)])
def test_sign_flips__the_null_of_mixed_correlations_is_off_by_a_known_bound(rng, part, rhos):
    rho = np.where(np.arange(20_000) < part * 20_000, *rhos)
    rate, null = chance(ar1(rng, rho, 20_000, 12))
    assert abs(null - rate) < 0.065


def test_sign_flips__the_null_of_discrete_gradients(rng):
    """Signs alone: a coin flips like the null, and zeros are in neither."""
    signs = rng.choice([-1.0, 0.0, 1.0], (60, 2000))
    rate, null = chance(signs)
    assert rate == pytest.approx(0.5, abs=5e-3) and null == pytest.approx(0.5, abs=5e-3)
    assert chance(np.ones((3, 5))) == (0, 0)


def test_sign_flips__agrees_with_numpy(example):
    result = trajlab.run("sign_flips", example, tau=[0.3]).compute()
    steps = slice(1, 19)
    for name, array in example.gradients.items():
        g = array.values.reshape(20, -1).astype(np.float64)
        flip, signed = np.sign(g[1:]) * np.sign(g[:-1]) < 0, (g[1:] != 0) & (g[:-1] != 0)
        near = (abs(g[1:]) <= 0.3) & (abs(g[:-1]) <= 0.3)
        actual = result.sel(parameter=name, step=steps)
        np.testing.assert_array_equal(actual.flips, flip.sum(1))
        np.testing.assert_allclose(actual.flip_rate, flip.sum(1) / signed.sum(1))
        with np.errstate(invalid="ignore"):
            retained = (flip & near).sum(1) / (signed & near).sum(1)
        np.testing.assert_allclose(actual.flip_rate_retained.isel(tau=0), retained)
        w = example.weights[name].values.reshape(21, -1).astype(np.float64)
        curve = (w[1:-1] - w[:-2]) * (g[1:] - g[:-1])
        np.testing.assert_array_equal(actual.minima, (flip & (curve > 0)).sum(1))
        np.testing.assert_array_equal(actual.maxima, (flip & (curve < 0)).sum(1))
        weight_flip = np.sign(w[1:]) * np.sign(w[:-1]) < 0
        np.testing.assert_array_equal(result.weight_flips.sel(parameter=name), weight_flip.sum(1))


def test_sign_flips__the_map_shows_signs_of_small_entries(example):
    result = trajlab.run("sign_flips", example, tau=[0.3], relative=[], sign_map_entries=6).compute()
    shown = result.sign_map.isel(tau=0).sel(step=slice(1, 19))
    assert shown.parameter_of.values.tolist()[:6] == ["conv.weight"] * 6
    for entry in range(shown.sizes["entry"]):
        name, index = shown.parameter_of.values[entry], shown.index_of.values[entry]
        g = example.gradients[name].values.reshape(20, -1)[1:, index]
        np.testing.assert_array_equal(shown[:, entry], np.where(abs(g) <= 0.3, np.sign(g), np.nan))


def test_sign_flips__weights_alone_and_nothing(example):
    result = trajlab.run("sign_flips", trajlab.from_arrays({"w": np.array([[1.0], [-1.0]])})).compute()
    assert result.weight_flips.item() == 1
    assert "flips" not in result
    with pytest.raises(MissingData, match="neither"):
        sign_flips()


def test_sign_flips__tensors_without_gradients_have_labels_and_all_the_order_of_the_network(example):
    result = trajlab.run("sign_flips", example)
    weights = trajlab.run("drift", example)
    assert result.parameter.values.tolist() == list(example.weights) == weights.parameter.values.tolist()
    assert "frozen.weight" not in example.gradients
    for label in ("kind", "module", "numel"):
        xr.testing.assert_equal(result[label].variable, weights[label].variable)
        assert result[label].dtype == weights[label].dtype


def test_sign_flips__tensors_recorded_at_different_steps_keep_their_own_strides():
    """A gradient of every step flips each time, and one of every fifth step flips each time: every 5 steps."""
    steps = np.arange(21)
    often = xr.DataArray(np.tile((-1.0) ** steps[:, None], (1, 6)), {"step": steps}, ("step", "out"), "often")
    rare = often[:5].assign_coords(step=steps[::5]).rename("rare")
    late = often[:4].assign_coords(step=[7, 9, 10, 16]).rename("late")
    result = sign_flips({"often": often, "rare": rare, "late": late}).compute()
    for name, own in (("often", often[:, :]), ("rare", rare[:5]), ("late", late)):
        alone = sign_flips(own[: own.sizes["step"]]).compute()
        together = result.run_length.sel(parameter=name, step=alone.step)
        np.testing.assert_allclose(together, alone.run_length)
    assert result.run_length.sel(parameter="rare", step=20) == 4.0 * 5 / 4
    assert result.run_length.sel(parameter="late", step=16) == (2 + 1 + 6) / 3
    assert result.total_run_length.sel(step=20) == pytest.approx((20 + 20 + 9) / (20 + 4 + 3))


def test_sign_flips__totals_of_weights_compare_the_steps_that_all_share():
    steps = np.arange(5)
    often = xr.DataArray(np.tile((-1.0) ** steps[:, None], (1, 6)), {"step": steps}, ("step", "out"), "often")
    rare = often[:3].assign_coords(step=steps[::2]).rename("rare")
    result = sign_flips(weight={"often": often, "rare": rare}).compute()
    np.testing.assert_array_equal(result.weight_flip_rate.sel(parameter="often"), [1, 1, 1, 1])
    np.testing.assert_array_equal(result.weight_flip_rate.sel(parameter="rare"), [np.nan, 1, np.nan, 1])
    np.testing.assert_array_equal(result.total_weight_flip_rate, [np.nan, 0.5, np.nan, 0.5])
