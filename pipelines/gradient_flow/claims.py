"""What was claimed of how gradients flow: through skip connections, and in training that is unstable."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, middle, of, verdict
from trajlab.reports.claims import Claim, Measured

FIRST, LAST = "conv.weight", "fc.weight"
INITS = {"xavier_normal": "Xavier", "kaiming_normal": "Kaiming"}
TWINS = ("plain", "residual")
UNSTABLE = ("unstable", "diverging")
AHEAD = 5
"""Steps before a step at which a warning of it counts."""

START = 10
"""Steps that are left out where runs are compared, as many as Spike needs before it can fire."""


def skip_connections_keep_early_gradients_alive(results: Results) -> Claim:
    """Hold the gradient of the first layer, itself and against that of the last, of twins against each other."""
    sizes = results["twins/gradient_statistics"]["l2"]
    found = _twins(sizes)
    early = {key: norms.sel(parameter=FIRST).isel(step=0) for key, norms in found.items()}
    ratios = {key: _ratio(norms) for key, norms in found.items()}
    third = sizes.sizes["step"] // 3
    first = {key: ratio.isel(step=slice(third)).median("step") for key, ratio in ratios.items()}
    alive = np.concatenate([early[init, "residual"].values > 2 * early[init, "plain"].values for init in INITS])
    apart = np.concatenate([first[init, "residual"].values > 2 * first[init, "plain"].values for init in INITS])
    start = _listed({key: ratio.isel(step=0) for key, ratio in ratios.items()})
    end = _listed({key: ratio.isel(step=slice(-third, None)).median("step") for key, ratio in ratios.items()})
    starved = _listed(_twins(results["twins/alerts"]["fired"].sel(rule="VanishingGradient")))
    losses = _twins(results["twins/evaluation"]["loss"])
    return Claim(
        "Skip connections keep the gradients of early layers alive.",
        "they do, without numbers; what is asked of the norm and of the ratio is our reading",
        [
            *(Measured(f"|g| of the first layer at step 0, {_named(*key)}", norm.values)
              for key, norm in early.items()),
            *(Measured(f"|g| of the first layer / |g| of the last, median of the first third, {_named(*key)}",
                       ratio.values) for key, ratio in first.items()),
        ],
        verdict([*alive, *apart]),
        "Asked is more than twice the plain twin's, which starts from the same weights: of the norm itself it is true "
        f"in {alive.sum()} of {alive.size} pairs, of the ratio in {apart.sum()}. A plain network starves if its start "
        "lets what passes through shrink: Xavier's halves the variance at each ReLU. Kaiming's does not, and without "
        "normalization makes the sums of a residual network explode. The alert VanishingGradient fires in so many of "
        f"{sizes.sizes['parameter']} tensors: {starved}. At step 0 the ratio can not tell ({start}): in a plain "
        "network of ReLUs Σ w·∂L/∂w is the same in every layer while biases are 0 (Du, Hu and Lee 2018), so that first "
        f"and last layer starve together. Nor can it in the last third ({end}), when plain networks have begun to "
        f"learn. Loss on the probe: {_listed({key: one.isel(step=0) for key, one in losses.items()})} at the start, "
        f"{_listed({key: last(one) for key, one in losses.items()})} at the end; a guess has 2.3.",
        "twins/gradient_statistics",
        "at first only the ratio was asked, its median over all steps; now the norm at step 0, too, and the ratio over "
        "the first third of the steps.",
    )  # fmt: skip


def instability_shows_in_the_norms(results: Results) -> Claim:
    """Hold the norms of the whole gradient at too high a learning rate against those of stable training."""
    statistics = results["stability/gradient_statistics"]
    norms = statistics["total_l2"].isel(step=slice(START, None))
    alarms = _fires(results["stability/alerts"], "gradient").sum("step")
    kinds = ("stable", *UNSTABLE)
    largest = {kind: of(norms, optimizer=kind).max("step") for kind in kinds}
    usual = {kind: of(norms, optimizer=kind).median("step") for kind in kinds}
    lost = {kind: (of(statistics["total_nonfinite"], optimizer=kind) > 0).any("step") for kind in UNSTABLE}
    most = largest["stable"].max()
    off = last(results["stability/saturation"]["total_fraction_units_saturated"])
    return Claim(
        "Unstable training shows in the norms of the gradients.",
        "it does, without numbers; that norms are larger there than in stable runs is our reading",
        [
            *(Measured(f"largest norm of the whole gradient, {kind}", largest[kind].values) for kind in kinds[:2]),
            *(Measured(f"median over the steps, {kind}", usual[kind].values) for kind in kinds[:2]),
            *(Measured(f"steps at which the gradient raises an alarm, {kind}", of(alarms, optimizer=kind).values)
              for kind in kinds),
            Measured("diverging runs with NaN or Inf in the gradient", lost["diverging"].values, "share"),
            *(Measured(f"units that are 0 almost everywhere at the end, {kind}",
                       of(off, optimizer=kind).values, "share") for kind in kinds[:2]),
        ],
        verdict(np.concatenate([(largest[kind] > 2 * most).values | lost[kind].values for kind in UNSTABLE])),
        "Asked is a norm more than twice the largest of any stable run, or NaN or Inf, in each run with too high a "
        f"learning rate ({_rates(norms, UNSTABLE)} against {_rates(norms, ('stable',))}); the first {START} steps are "
        "left out, which begin alike. A run that diverges is seen in any measure. Short of that, units that have died "
        "pass no gradient, so that a network in trouble may have smaller norms, not larger ones. Loss on the probe at "
        f"the end: {_ends(results['stability/evaluation']['loss'], kinds)}; a guess has 2.30.",
        "stability/gradient_statistics",
        f"at first all steps were compared; now the first {START} are left out.",
    )  # fmt: skip


def norms_show_it_before_the_loss(results: Results) -> Claim:
    """Compare the first steps at which the gradients and the loss raise an alarm."""
    alerts, norms = results["stability/alerts"], results["stability/gradient_statistics"]["total_l2"]
    gradient, loss = _fires(alerts, "gradient"), _fires(alerts, "metric")
    first = {"gradient": _first(gradient), "loss": _first(loss)}
    warned = gradient.rolling(step=AHEAD, min_periods=1).max().shift(step=1, fill_value=0)
    told = of(warned.where(loss == 1).mean("step"), optimizer="unstable")
    stable = of(first["gradient"], optimizer="stable")
    quiet = stable["seed"].values[np.isnan(stable.values)]
    ahead = (first["gradient"] < first["loss"]) & first["loss"]["seed"].isin(quiet)
    off = results["stability/saturation"]["total_fraction_units_saturated"].isel(step=1)
    before = of(_against_stable(norms, first["loss"], AHEAD, 1), optimizer="unstable")
    at = of(_against_stable(norms, first["loss"], 0, 0), optimizer="unstable")
    return Claim(
        "The norms of the gradients show instability before the loss does.",
        "not published; our question",
        [
            *(Measured(f"first alarm of the {name}, {kind}", of(steps, optimizer=kind).values)
              for kind in UNSTABLE for name, steps in first.items()),
            Measured("first alarm of the gradient, stable: a false one", stable.values),
            Measured(f"norm in the {AHEAD} steps before the first alarm of the loss / stable twin's", before.values),
            Measured("norm at the first alarm of the loss / stable twin's", at.values),
            Measured(f"alarms of the loss with one of the gradient in the {AHEAD} steps before, unstable",
                     told.values, "share"),
            Measured("the same of any step, unstable", of(warned, optimizer="unstable").mean("step").values, "share"),
            *(Measured(f"units that are 0 almost everywhere at step {int(off['step'])}, {kind}",
                       of(off, optimizer=kind).values, "share") for kind in ("stable", "unstable")),
        ],
        verdict(of(ahead, optimizer=list(UNSTABLE)).values),
        "Alarms are those of the stage `alerts`: Spike or ExplodingTensor, steps counted from 0. Asked is that in each "
        "run with too high a learning rate the gradient's comes first, and that the stable run of the same seed has "
        "none, as a warning that every run gives is none. The gradient at a step is that of the loss at the same step: "
        "both explode together, and a spike of the norm as a network begins to learn is no sign of trouble. What the "
        "outputs of the layers show at the first snapshot stands in the last rows.",
        "stability/alerts",
        "at first a warning counted that the stable run of the same seed gives as well.",
    )  # fmt: skip


def _ratio(norms: xr.DataArray) -> xr.DataArray:
    """Hold the norm of the first layer's gradient against that of the last layer's."""
    return norms.sel(parameter=FIRST, drop=True) / norms.sel(parameter=LAST, drop=True)


def _named(init: str, twin: str) -> str:
    return f"{INITS[init]} {twin}"


def _twins(array: xr.DataArray) -> dict[tuple[str, str], xr.DataArray]:
    """Give the runs of each init and twin."""
    return {(init, twin): of(array, init=init, variant=twin) for init in INITS for twin in TWINS}


def _listed(found: dict[tuple[str, str], xr.DataArray]) -> str:
    """Write the median over the seeds of each init and twin."""
    return ", ".join(f"{_named(*key)} {middle(one):.2g}" for key, one in found.items())


def _ends(loss: xr.DataArray, optimizers: tuple[str, ...]) -> str:
    """Write the losses of all runs at the end."""
    return ", ".join(
        f"{kind} {' and '.join(f'{one:.2f}' for one in last(of(loss, optimizer=kind)).values)}".replace("nan", "NaN")
        for kind in optimizers
    )


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
