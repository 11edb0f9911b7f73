"""What was claimed of how gradients flow: through skip connections, and in training that is unstable."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, middle, of, verdict
from trajlab.claims import Claim, Measured

FIRST, LAST = "conv.weight", "fc.weight"
INITS = {"xavier_normal": "Xavier", "kaiming_normal": "Kaiming"}
TWINS = ("plain", "residual")
UNSTABLE = ("unstable", "diverging")
AHEAD = 5
"""Steps before a step at which a warning of it counts."""


def skip_connections_keep_early_gradients_alive(results: Results) -> Claim:
    """Hold the gradient of the first layer against that of the last, in the plain network and its residual twin."""
    sizes = results["twins/gradient_statistics"]["l2"]
    found = {(init, twin): of(sizes, init=init, variant=twin) for init in INITS for twin in TWINS}
    ratios = {key: _ratio(norms).median("step") for key, norms in found.items()}
    starts = {key: _ratio(norms).isel(step=0) for key, norms in found.items()}
    early = {key: norms.sel(parameter=FIRST).isel(step=0) for key, norms in found.items()}
    alive = {init: ratios[init, "residual"].values > 2 * ratios[init, "plain"].values for init in INITS}
    pairs = [f"{ours.sum()} of {ours.size} pairs ({INITS[init]})" for init, ours in alive.items()]
    loss = results["twins/evaluation"]["loss"]
    learned = [
        f"{words} {', '.join(f'{twin} {middle(last(of(loss, init=init, variant=twin))):.2f}' for twin in TWINS)}"
        for init, words in INITS.items()
    ]
    return Claim(
        "Skip connections keep the gradients of early layers alive.",
        "the first layer's gradient vanishes in the plain network and stays in its residual twin",
        [
            *(Measured(f"|g| of the first layer / |g| of the last, median of the steps, {_named(*key)}", ratio.values)
              for key, ratio in ratios.items()),
            *(Measured(f"the same at step 0, {_named(*key)}", ratio.values) for key, ratio in starts.items()),
            *(Measured(f"|g| of the first layer at step 0, {_named(*key)}", norm.values)
              for key, norm in early.items()),
        ],
        verdict(np.concatenate([*alive.values()])),
        "Asked is a ratio more than twice that of the plain twin that starts from the same weights, for each init and "
        f"seed; it is so in {', '.join(pairs)}. "
        "A plain network does not starve because it is plain, but because the start lets what passes through a layer "
        "shrink: Xavier's halves it at each ReLU, on the way back and on the way there, which leaves the last layer as "
        "small a gradient as the first at step 0; Kaiming's does not, and without normalization lets the sums of the "
        f"residual network grow instead. Loss on the test images at the end: {'; '.join(learned)}; a guess has 2.30.",
        "twins/gradient_statistics",
    )  # fmt: skip


def instability_shows_in_the_norms(results: Results) -> Claim:
    """Hold the norms of the whole gradient at too high a learning rate against those of stable training."""
    norms = results["stability/gradient_statistics"]["total_l2"]
    alerts = results["stability/alerts"]
    spikes = _fires(alerts, "gradient").sum("step")
    kinds = ("stable", *UNSTABLE)
    largest = {kind: of(norms, optimizer=kind).max("step") for kind in kinds}
    usual = {kind: of(norms, optimizer=kind).median("step") for kind in kinds}
    lost = {kind: of(results["stability/gradient_statistics"]["total_nonfinite"], optimizer=kind) for kind in kinds}
    most = largest["stable"].max()
    holds = [(largest[kind] > 2 * most).values | (lost[kind] > 0).any("step").values for kind in UNSTABLE]
    return Claim(
        "Unstable training shows in the norms of the gradients.",
        "norms spike where training is unstable",
        [
            *(Measured(f"largest norm of the whole gradient, {kind}", of_kind.values)
              for kind, of_kind in largest.items()),
            *(Measured(f"its median over the steps, {kind}", of_kind.values) for kind, of_kind in usual.items()),
            *(Measured(f"steps at which the gradient raises an alarm, {kind}", of(spikes, optimizer=kind).values)
              for kind in kinds),
        ],
        verdict(np.concatenate(holds)),
        "Asked is a norm more than twice the largest of any stable run, or one that is no number, in each run with too "
        f"high a learning rate ({_rates(norms, UNSTABLE)} against {_rates(norms, ('stable',))}).",
        "stability/gradient_statistics",
    )  # fmt: skip


def norms_show_it_before_the_loss(results: Results) -> Claim:
    """Compare the first steps at which the gradients and the loss raise an alarm."""
    alerts, norms = results["stability/alerts"], results["stability/gradient_statistics"]["total_l2"]
    gradient, loss = _fires(alerts, "gradient"), _fires(alerts, "metric")
    first = {"gradient": _first(gradient), "loss": _first(loss)}
    warned = gradient.rolling(step=AHEAD, min_periods=1).max().shift(step=1, fill_value=0)
    stable = of(first["gradient"], optimizer="stable")
    ahead = [
        of(first["gradient"], optimizer=kind).values < of(first["loss"], optimizer=kind).values for kind in UNSTABLE
    ]
    told = warned.where(loss == 1).mean("step")
    before, at = (
        of(_against_stable(norms, first["loss"], *steps), optimizer="unstable") for steps in ((AHEAD, 1), (0, 0))
    )
    return Claim(
        "The norms of the gradients show instability before the loss does.",
        "gradient norms as an early warning",
        [
            *(Measured(f"first alarm of the {name}, {kind}", of(steps, optimizer=kind).values)
              for kind in UNSTABLE for name, steps in first.items()),
            Measured("first alarm of the gradient, stable: a false one", stable.values),
            Measured(f"norm in the {AHEAD} steps before the first alarm of the loss / stable twin's", before.values),
            Measured("norm at the first alarm of the loss / stable twin's", at.values),
            Measured(f"alarms of the loss with one of the gradient in the {AHEAD} steps before, unstable",
                     of(told, optimizer="unstable").values, "share"),
            Measured("the same of any step, unstable", of(warned.mean("step"), optimizer="unstable").values, "share"),
        ],
        verdict([*np.concatenate(ahead), *np.isnan(stable.values)]),
        "Alarms are those of the stage `alerts`: Spike or ExplodingTensor, steps counted from 0. Asked is that the "
        "gradient's comes first in each run with too high a learning rate, and never in a stable one. The gradient at "
        "a step is that of the loss at the same step, so that it can know no more than the loss does but how steep it "
        "is there.",
        "stability/alerts",
    )  # fmt: skip


def _ratio(norms: xr.DataArray) -> xr.DataArray:
    """Hold the norm of the first layer's gradient against that of the last layer's."""
    return norms.sel(parameter=FIRST, drop=True) / norms.sel(parameter=LAST, drop=True)


def _named(init: str, twin: str) -> str:
    return f"{INITS[init]}, {twin}"


def _rates(array: xr.DataArray, optimizers: tuple[str, ...]) -> str:
    """Write the learning rates of the runs."""
    return " and ".join(f"{rate:g}" for rate in np.unique(of(array, optimizer=list(optimizers))["lr"].values))


def _fires(alerts: xr.Dataset, kind: str) -> xr.DataArray:
    """Tell at which steps the loss (metric) or the gradients (gradient) spike or explode, 1 or 0."""
    wanted = (alerts["kind_of"] == kind) & alerts["rule_of"].isin(["Spike", "ExplodingTensor"])
    return (alerts["fires"].isel(check=np.flatnonzero(wanted)) == 1).any("check").astype(float)


def _first(fires: xr.DataArray) -> xr.DataArray:
    """Give the first step at which something fires, NaN if it never does."""
    return fires["step"].where(fires == 1).min("step")


def _against_stable(norms: xr.DataArray, spikes: xr.DataArray, start: int, stop: int) -> xr.DataArray:
    """Hold norms from some steps before the first spike of each run against the stable run of the same seed."""
    stable = of(norms, optimizer="stable")
    found = xr.full_like(spikes, np.nan, dtype=float)
    for i, step in enumerate(spikes.values):
        if np.isfinite(step):
            around = {"step": slice(step - start, step - stop)}
            twin = of(stable, seed=int(spikes["seed"].values[i])).isel(run=0)
            found[i] = norms.isel(run=i).sel(around).mean() / twin.sel(around).mean()
    return found
