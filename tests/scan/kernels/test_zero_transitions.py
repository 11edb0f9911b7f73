import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.zero_transitions import Transitions
from trajlab.scan.track import Track
from trajlab.sizes import TILE_ENTRIES


def table(kernel, rows, weights=None, **block):
    if weights is not None:
        known = [row is not None for row in weights]
        positions = np.where(known, np.cumsum(known) - 1, -1)
        block["weights"] = Track([row for row in weights if row is not None], positions=positions)
    ((out, nonzero),) = reduce([kernel], Block(Track(list(rows)), **block))
    return dict(zip(kernel.columns, out.T, strict=True)), nonzero


def brute_force(q, g, tau, dw=None):
    known = np.isfinite(q) & np.isfinite(g)
    q, g = q[known].astype(np.float64), g[known].astype(np.float64)
    b, d = abs(q) <= tau, abs(g) <= tau
    flip = np.sign(q) * np.sign(g) < 0
    actual = {
        "near_prev_0": b.sum(), "near_next_0": d.sum(), "near_near_0": (b & d).sum(),
        "zero_near_0": ((q == 0) & d).sum(), "near_zero_0": (b & (g == 0)).sum(),
        "retained_signed_0": (b & d & (q != 0) & (g != 0)).sum(), "retained_flips_0": (b & d & flip).sum(),
        "valid": known.sum(), "flips": flip.sum(), "signed": ((q != 0) & (g != 0)).sum(),
        "zero_prev": (q == 0).sum(), "zero_next": (g == 0).sum(), "zero_both": ((q == 0) & (g == 0)).sum(),
        "gg": (g * g).sum(),
    }  # fmt: skip
    angle = 2 * np.arctan2(g, q)[(q != 0) & (g != 0)]
    actual |= {"sine": np.sin(angle).sum(), "cosine": -np.cos(angle).sum()}
    if dw is not None:
        dw = dw[known]
        curved = np.sign(g - q) * np.sign(dw)
        actual |= {
            "moved": dw.size, "change": abs(dw).sum(),
            "minima": (flip & (curved > 0)).sum(), "maxima": (flip & (curved < 0)).sum(),
            "moved_retained_0": (b & d).sum(), "change_retained_0": abs(dw[b & d]).sum(),
            "moved_unflipped_0": (b & d & ~flip).sum(), "change_unflipped_0": abs(dw[b & d & ~flip]).sum(),
            "moved_released_0": (b & ~d).sum(), "change_released_0": abs(dw[b & ~d]).sum(),
        }  # fmt: skip
    return actual


def gradients(rng, size):
    rows = (rng.standard_normal((3, size)) * 10.0 ** rng.uniform(-9, -3, (3, size))).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = 0
    return rows


@pytest.mark.parametrize("size", [5, TILE_ENTRIES + 3])
@pytest.mark.parametrize("dirty", [False, True])
def test_transitions__agree_with_numpy(rng, size, dirty):
    rows, weights = gradients(rng, size), rng.standard_normal((3, size)).astype(np.float32)
    if dirty:
        rows[1, 0], rows[2, 1] = np.nan, np.inf
    actual, nonzero = table(Transitions(tau=(1e-6,)), rows, weights=list(weights))
    for step in (1, 2):
        dw = weights[step].astype(np.float64) - weights[step - 1]
        for name, expected in brute_force(rows[step - 1], rows[step], 1e-6, dw).items():
            assert actual[name][step] == pytest.approx(expected, rel=1e-11, abs=1e-9 * (name in ("sine", "cosine"))), (
                name
            )
    assert np.isnan(actual["flips"][0])
    ever = (rows != 0).any(0)
    assert nonzero is None if ever.all() else (np.unpackbits(nonzero, count=size) == ever).all()


def test_transitions__relative_thresholds_follow_the_size_of_each_step(rng):
    rows = gradients(rng, 500) * np.array([[1], [10], [100]], np.float32)
    actual, _ = table(Transitions(relative=(0.1,)), rows)
    rms = np.sqrt((rows.astype(np.float64) ** 2).mean(1))
    near = abs(rows.astype(np.float64)) <= 0.1 * rms[:, None]
    assert actual["near_prev_0"][2] == near[1].sum()
    assert actual["near_near_0"][2] == (near[1] & near[2]).sum()


def test_transitions__gather_the_weights_of_sampled_entries(rng):
    weights = rng.standard_normal((3, 1000)).astype(np.float32)
    index = np.sort(rng.choice(1000, 60, replace=False))
    rows = gradients(rng, 60)
    actual, _ = table(Transitions(tau=(1e-6,)), rows, weights=list(weights), indices=index)
    dw = (weights[1].astype(np.float64) - weights[0])[index]
    assert actual["change"][1] == pytest.approx(abs(dw).sum(), rel=1e-12)


def test_transitions__weights_that_were_not_recorded_are_not_made_up(rng):
    rows, weights = gradients(rng, 50), list(rng.standard_normal((3, 50)).astype(np.float32))
    weights[1] = None
    actual, _ = table(Transitions(tau=(1e-6,)), rows, weights=weights)
    assert actual["moved"].tolist()[1:] == [0, 0]
    assert actual["signed"][1] > 0


def test_transitions__a_tau_on_the_entry_counts_as_near():
    actual, _ = table(Transitions(tau=(0.5,)), np.array([[0.5, 0.5], [0.5, 0.500001]], np.float32))
    assert actual["near_prev_0"][1] == 2
    assert actual["near_next_0"][1] == 1
