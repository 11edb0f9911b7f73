import json

import numpy as np
import pytest

from tests.scan.kernels.weightwatcher_values import VALUES, matrices
from trajlab.scan.kernels.power_law import FACTS, facts, leading_facts, power_law, rounding
from trajlab.scan.kernels.singular_values import singular_values

RECORDED = json.loads(VALUES.read_text())["values"]


def told(matrix, epsilon=0.0):
    """Return `facts` of a matrix by name, and its singular values."""
    s = singular_values(np.asarray(matrix, np.float64))
    out = np.empty(len(FACTS))
    facts(s, *np.shape(matrix), rounding(np.linalg.norm(s), epsilon), out)
    return dict(zip(FACTS, out.tolist(), strict=True)), s


@pytest.mark.parametrize("name", RECORDED)
def test_facts__agree_with_weightwatcher(name):
    expected = RECORDED[name]
    actual, s = told(matrices()[name])
    np.testing.assert_allclose(actual["alpha"], expected["alpha"], rtol=1e-5)
    np.testing.assert_allclose(actual["alpha_sigma"], expected["sigma"], rtol=1e-5)
    np.testing.assert_allclose(actual["xmin"], expected["xmin"], rtol=1e-5)
    tail = np.sort(s[s**2 >= actual["xmin"] * (1 - 1e-9)] ** 2)
    fit, n = 1 - (tail / tail[0]) ** (1 - actual["alpha"]), len(tail)
    np.testing.assert_allclose(abs(fit - np.arange(n) / n).max(), expected["D"], rtol=1e-5)  # its distance is one-sided
    two_sided = np.maximum(abs(fit - np.arange(n) / n), abs(fit - np.arange(1, n + 1) / n)).max()
    np.testing.assert_allclose(actual["ks"], two_sided, rtol=1e-9)
    np.testing.assert_allclose(actual["stable_rank"], expected["stable_rank"], rtol=1e-5)
    p = s**2 / (s**2).sum()
    np.testing.assert_allclose(-(p * np.log(p)).sum() / np.log(len(s)), expected["entropy"], rtol=1e-5)


def test_power_law__every_start_is_tried(rng):
    values = np.sort(rng.pareto(1.5, 200) + 1.0)
    tried = []
    for i in range(len(values) - 1):
        tail = values[i:]
        alpha = 1 + len(tail) / np.log(tail / tail[0]).sum()
        fit = 1 - (tail / tail[0]) ** (1 - alpha)
        tried.append((abs(fit - np.arange(len(tail)) / len(tail)).max(), alpha, tail[0], len(tail)))
    distance, alpha, xmin, count = min(tried)
    fit = 1 - (values[-count:] / xmin) ** (1 - alpha)
    distance = max(distance, abs(fit - np.arange(1, count + 1) / count).max())
    np.testing.assert_allclose(power_law(values), [alpha, xmin, distance, count], rtol=1e-12)


def test_power_law__finds_the_exponent_of_a_pure_tail():
    """Quantiles of a Pareto density x^-3 from 2 on, with ballast below."""
    tail = 2.0 * (1 - (np.arange(4000) + 0.5) / 4000) ** -0.5
    alpha, xmin, distance, count = power_law(np.concatenate([np.linspace(0.5, 1.9, 2000), tail]))
    assert alpha == pytest.approx(3.0, abs=0.02) and xmin == pytest.approx(2.0, abs=0.1) and distance < 0.01
    assert count > 3000


def test_power_law__too_few_values_have_no_tail():
    assert np.isnan(power_law(np.empty(0))[:3]).all() and np.isnan(power_law(np.ones(1))[:3]).all()
    assert power_law(np.ones(10))[0] == np.inf


def test_facts__of_noise_nothing_stands_out(rng):
    """The edges hold the spectrum, and one matrix in a hundred has a singular value beyond the threshold."""
    actual = [told(0.3 * rng.standard_normal((40, 90)))[0] for _ in range(300)]
    assert sum(one["mp_spikes"] > 0 for one in actual) <= 9
    one, s = told(0.3 * rng.standard_normal((400, 900)))
    np.testing.assert_allclose([one["mp_lower"], one["mp_upper"]], [0.3 * 10, 0.3 * 50], rtol=0.01)
    np.testing.assert_allclose([s[-1], s[0]], [one["mp_lower"], one["mp_upper"]], rtol=0.05)


@pytest.mark.parametrize(("strength", "spikes"), [(0.6, 0), (1.6, 1), (4.0, 1)])
def test_facts__a_planted_direction_stands_out_above_the_transition(rng, strength, spikes):
    """Baik, Ben Arous and Péché: a direction of strength θ (mn)^¼ σ leaves the bulk from θ = 1 on."""
    m, n = 150, 300
    u, v = (x / np.linalg.norm(x) for x in (rng.standard_normal(m), rng.standard_normal(n)))
    actual, s = told(rng.standard_normal((m, n)) + strength * (m * n) ** 0.25 * np.outer(u, v))
    assert actual["mp_spikes"] == spikes
    if strength > 1:
        ratio = np.sqrt(m / n)
        where = np.sqrt(n * ratio * (1 / strength**2 + strength**2 + ratio + 1 / ratio))
        np.testing.assert_allclose(s[0], where, rtol=0.03)


def test_facts__many_strong_directions_do_not_hide_behind_the_variance_they_make(rng):
    m, n, k = 100, 200, 12
    signal = rng.standard_normal((m, k)) @ rng.standard_normal((k, n))
    actual, _ = told(rng.standard_normal((m, n)) + signal)
    assert actual["mp_spikes"] == k
    np.testing.assert_allclose(actual["mp_upper"], np.sqrt(m) + np.sqrt(n), rtol=0.03)


def test_facts__of_exact_matrices(rng):
    orthogonal, _ = told(3.0 * np.linalg.qr(rng.standard_normal((40, 40)))[0])
    assert orthogonal["stable_rank"] == pytest.approx(40) and orthogonal["effective_rank"] == pytest.approx(40)
    assert orthogonal["spectral_norm"] == pytest.approx(3) and orthogonal["mp_spikes"] == 0
    assert orthogonal["alpha"] == np.inf
    one, s = told(np.outer(rng.standard_normal(30), rng.standard_normal(50)))
    assert one["stable_rank"] == pytest.approx(1) and one["effective_rank"] == pytest.approx(1, abs=1e-9)
    assert one["mp_spikes"] == 1 and one["frobenius_norm"] == pytest.approx(s[0]) and s[1] < 1e-12 * s[0]
    assert np.isnan(one["alpha"])
    zero, _ = told(np.zeros((3, 5)))
    assert zero["spectral_norm"] == zero["mp_upper"] == zero["mp_spikes"] == 0
    assert np.isnan([zero["stable_rank"], zero["effective_rank"], zero["alpha"]]).all()
    single, _ = told([[2.0]])
    assert single["stable_rank"] == single["effective_rank"] == 1 and single["mp_spikes"] == 0


def test_leading_facts__are_those_of_all_singular_values_or_unknown(rng):
    matrix = rng.standard_normal((60, 90)) + np.outer(rng.standard_normal(60), rng.standard_normal(90))
    every, s = told(matrix)
    for count in (1, 20):
        out = np.empty(len(FACTS))
        leading_facts(s[:count], (s[count:] ** 2).sum(), 60, 90, 0.0, out)
        some = dict(zip(FACTS, out.tolist(), strict=True))
        edges = ("mp_lower", "mp_upper", "mp_threshold", "mp_spikes")  # one spike, so that one value says too little
        known = ["spectral_norm", "frobenius_norm", "stable_rank", *(edges if count > 1 else ())]
        np.testing.assert_allclose([some[name] for name in known], [every[name] for name in known], rtol=1e-12)
        assert all(np.isnan(some[name]) for name in set(FACTS) - {*known})
