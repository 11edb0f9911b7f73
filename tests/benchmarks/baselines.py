"""What a researcher would write instead: a loop over checkpoints in PyTorch, and plain sums as the limit."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import trajlab
from tests.benchmarks.data import cifar_network
from trajlab.runs.disk.rows import Rows

BINS = 4096
QUANTILES = torch.tensor([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])


def torch_loop(folder: Path) -> list[dict[str, dict[str, float]]]:
    """Compute what drift, distribution and the weight part of sign_flips give, one checkpoint after the other.

    Distances of distributions come from histograms of 4,096 bins over the range of the first snapshot: sorting every
    tensor would take several times as long.
    """
    steps = sorted(int(target.name.removeprefix("checkpoint-")) for target in folder.glob("checkpoint-*"))
    results, first, before, bins_first, bins_before, path = [], {}, {}, {}, {}, {}
    for step in steps:
        state = load_file(folder / f"checkpoint-{step}" / "model.safetensors")
        row = {}
        for name, tensor in state.items():
            if not tensor.is_floating_point() or "running" in name:
                continue
            w = tensor.flatten()
            first.setdefault(name, w)
            w0, v = first[name], before.get(name, w)
            low, high = w0.min().item() * 2 - 1e-3, w0.max().item() * 2 + 1e-3
            bins = torch.histc(w, BINS, low, high)
            bins_first.setdefault(name, bins)
            row[name] = {
                **_moments(w),
                **_drift(w, w0, v, path, name),
                **_shift(bins, bins_first[name], (high - low) / BINS, "first"),
                **_shift(bins, bins_before.get(name, bins), (high - low) / BINS, "prev"),
                **_quantiles(bins, low, high),
            }
            before[name], bins_before[name] = w, bins
        results.append(row)
    return results


def lean_loop(folder: Path) -> list[dict[str, list[float]]]:
    """Compute 14 statistics and a histogram of 256 bins of each tensor, all in float32: as little as one could ask for.

    No distances of distributions, quantiles, skewness, tolerances or sums in double precision.
    """
    steps = sorted(int(target.name.removeprefix("checkpoint-")) for target in folder.glob("checkpoint-*"))
    results, first, before = [], {}, {}
    for step in steps:
        row = {}
        for name, tensor in load_file(folder / f"checkpoint-{step}" / "model.safetensors").items():
            if not tensor.is_floating_point() or "running" in name:
                continue
            w = tensor.flatten()
            w0, v = first.setdefault(name, w), before.get(name, w)
            d, u, low, high = w - w0, w - v, *w.aminmax()
            statistics = (
                w.mean(), w.std(), low, high, w.norm(), (w == 0).sum(), d.norm(), d.abs().sum(), d.abs().max(), w @ w0,
                (w != w0).sum(), (w.sign() != w0.sign()).sum(), u.norm(), ((w * v) < 0).sum(),
            )  # fmt: skip
            row[name] = [*map(float, statistics), *torch.histc(w, 256, low.item(), high.item()).tolist()]
            before[name] = w
        results.append(row)
    return results


def _moments(w: torch.Tensor) -> dict[str, float]:
    d = w.double()
    mean = d.mean()
    d = d - mean
    variance = d.square().mean()
    return {
        "mean": mean.item(), "std": variance.sqrt().item(), "skewness": (d.pow(3).mean() / variance**1.5).item(),
        "kurtosis": (d.pow(4).mean() / variance**2 - 3).item(), "min": w.min().item(), "max": w.max().item(),
        "zeros": (w == 0).sum().item(), "nonfinite": (~w.isfinite()).sum().item(),
    }  # fmt: skip


def _drift(w: torch.Tensor, w0: torch.Tensor, v: torch.Tensor, path: dict, name: str) -> dict[str, float]:
    d, u = w - w0, w - v
    update = u.norm().item()
    path[name] = path.get(name, 0.0) + update
    distance, norm, start = d.norm().item(), w.norm().item(), w0.norm().item()
    return {
        "norm": norm, "l1": d.abs().sum().item(), "l2": distance, "linf": d.abs().max().item(),
        "cosine": (w @ w0).item() / (norm * start + 1e-30), "changed": (w != w0).float().mean().item(),
        "changed_tol": (d.abs() > 1e-8 + 1e-5 * w0.abs()).float().mean().item(),
        "sign_changed": (w.sign() != w0.sign()).float().mean().item(), "update": update, "path": path[name],
        "flips": ((w * v) < 0).sum().item(), "signed": ((w != 0) & (v != 0)).sum().item(),
    }  # fmt: skip


def _shift(a: torch.Tensor, b: torch.Tensor, width: float, name: str) -> dict[str, float]:
    p, q = a / a.sum(), b / b.sum()
    gap = (p.cumsum(0) - q.cumsum(0)).abs()
    m = (p + q) / 2
    js = (torch.special.xlogy(p, p / m) + torch.special.xlogy(q, q / m)).nansum() / 2
    psi = ((p - q) * (p.clamp_min(1e-9) / q.clamp_min(1e-9)).log()).sum()
    return {
        f"wasserstein_{name}": (gap.sum() * width).item(), f"ks_{name}": gap.max().item(),
        f"js_{name}": js.item(), f"psi_{name}": psi.item(),
    }  # fmt: skip


def _quantiles(bins: torch.Tensor, low: float, high: float) -> dict[str, float]:
    reached = bins.cumsum(0) / bins.sum()
    at = torch.searchsorted(reached, QUANTILES)
    return {f"q{i}": low + (high - low) * position.item() / BINS for i, position in enumerate(at)}


def mapped(folder: Path) -> list[list[np.ndarray]]:
    """Map the weights of a folder of checkpoints."""
    lives = trajlab.open(folder).weights.series.values()
    return [life.values.views() for life in lives if isinstance(life.values, Rows)]


def numpy_sums(rows: list[list[np.ndarray]]) -> float:
    """Sum mapped weights with numpy on two threads: what the memory delivers to the simplest of readers."""
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(lambda views: sum(float(view.sum()) for view in views), rows))


def bare_passes(folder: Path, inputs: torch.Tensor, targets: torch.Tensor, *, back: bool) -> list[float]:
    """Put a batch through each snapshot, one after the other, and back from the loss if asked to; keep the losses."""
    net = cifar_network().eval()
    losses = []
    for target in sorted(folder.glob("checkpoint-*"), key=lambda target: int(target.name.partition("-")[2])):
        net.load_state_dict(load_file(target / "model.safetensors"))
        with torch.set_grad_enabled(back):
            loss = torch.nn.functional.cross_entropy(net(inputs), targets)
        if back:
            net.zero_grad()
            loss.backward()
        losses.append(loss.item())
    return losses
