"""Claims about the flow of gradients: through skip connections, and in unstable training."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, measured, medians, of, verdict
from trajlab.reports.claims import Claim, Measured

FIRST, LAST = "conv.weight", "fc.weight"
INITS = {"xavier_normal": "Xavier", "kaiming_normal": "Kaiming"}
TWINS = ("plain", "residual")
UNSTABLE = ("unstable", "diverging")

AHEAD = 5
"""Steps within which an alarm of the gradient counts as a warning of one of the loss."""

START = 10
"""Steps that are excluded where runs are compared: those that Spike needs as a baseline."""


def skip_connections_keep_early_gradients_alive(results: Results) -> Claim:
    """Compare the gradient of the first layer, and its ratio to that of the last, between twins."""
    l2 = results["twins/gradient_statistics"]["l2"]
    norms = _twins(l2)
    early = {name: norm.sel(parameter=FIRST).isel(step=0) for name, norm in norms.items()}
    ratios = {
        name: norm.sel(parameter=FIRST, drop=True) / norm.sel(parameter=LAST, drop=True) for name, norm in norms.items()
    }
    third = l2.sizes["step"] // 3
    first_third = {name: ratio.isel(step=slice(third)).median("step") for name, ratio in ratios.items()}
    larger_norm, larger_ratio = _twice_as_large(early), _twice_as_large(first_third)
    start = medians({name: ratio.isel(step=0) for name, ratio in ratios.items()})
    end = medians({name: ratio.isel(step=slice(-third, None)).median("step") for name, ratio in ratios.items()})
    alerts = medians(_twins(results["twins/alerts"]["fired"].sel(rule="VanishingGradient")))
    losses = _twins(results["twins/evaluation"]["loss"])
    return Claim(
        "Skip connections keep the gradients of early layers alive.",
        "they do, without numbers; to measure norm and ratio is our reading",
        [
            *measured("|g| of the first layer at step 0", early),
            *measured("|g| of the first layer / |g| of the last, median of the first third", first_third),
        ],
        verdict([*larger_norm, *larger_ratio]),
        "Criterion: more than twice the plain twin's, which starts from the same weights. For the norm this holds in "
        f"{larger_norm.sum()} of {larger_norm.size} pairs, for the ratio in {larger_ratio.sum()}. Gradients vanish in "
        "a plain network if its init shrinks activations: Xavier's halves the variance at each ReLU. Kaiming's does "
        "not, but without normalization it lets the sums of a residual network explode. Number of the "
        f"{l2.sizes['parameter']} tensors where the alert VanishingGradient fires: {alerts}. At step 0 the ratio "
        f"cannot show it ({start}): in a plain ReLU network Σ w·∂L/∂w is equal in all layers while biases are 0 (Du, "
        f"Hu and Lee 2018), so first and last layer vanish together. Nor can it in the last third ({end}), when plain "
        "networks have begun to learn. Loss on the probe: "
        f"{medians({name: loss.isel(step=0) for name, loss in losses.items()})} at the start, "
        f"{medians({name: last(loss) for name, loss in losses.items()})} at the end; a guess has 2.3.",
        "twins/gradient_statistics",
        "at first the criterion was the median ratio over all steps; now it is the norm at step 0 as well, and the "
        "ratio over the first third of the steps.",
    )


def instability_shows_in_the_norms(results: Results) -> Claim:
    """Compare the norms of the whole gradient between too high a learning rate and stable training."""
    statistics = results["stability/gradient_statistics"]
    norms = statistics["total_l2"].isel(step=slice(START, None))
    alarms = _alarms(results["stability/alerts"], "gradient").sum("step")
    kinds = ("stable", *UNSTABLE)
    largest = {kind: of(norms, optimizer=kind).max("step") for kind in kinds}
    typical = {kind: of(norms, optimizer=kind).median("step") for kind in kinds}
    nonfinite = {kind: (of(statistics["total_nonfinite"], optimizer=kind) > 0).any("step") for kind in UNSTABLE}
    largest_stable = largest["stable"].max()
    dead = last(results["stability/saturation"]["total_fraction_units_saturated"])
    finite = kinds[:2]
    return Claim(
        "Unstable training shows in the norms of the gradients.",
        "it does, without numbers; that norms exceed those of stable runs is our reading",
        [
            *measured("largest norm of the whole gradient", {kind: largest[kind] for kind in finite}),
            *measured("median norm over the steps", {kind: typical[kind] for kind in finite}),
            *measured("steps with an alarm of the gradient", {kind: of(alarms, optimizer=kind) for kind in kinds}),
            Measured("diverging runs with NaN or Inf in the gradient", nonfinite["diverging"].values, "share"),
            *measured(
                "units that are 0 almost everywhere at the end",
                {kind: of(dead, optimizer=kind) for kind in finite},
                "share",
            ),
        ],
        verdict(
            np.concatenate([(largest[kind] > 2 * largest_stable).values | nonfinite[kind].values for kind in UNSTABLE])
        ),
        "Criterion: a norm more than twice the largest of any stable run, or NaN or Inf, in each run with too high a "
        f"learning rate ({_rates(norms, UNSTABLE)}; stable: {_rates(norms, ('stable',))}). The first {START} steps, "
        "which begin alike, are excluded. Divergence shows in any measure. Short of it, dead units pass no gradient, "
        "so a network in trouble may have smaller norms instead of larger ones. Loss on the probe at the end: "
        f"{_end_losses(results['stability/evaluation']['loss'], kinds)}; a guess has 2.30.",
        "stability/gradient_statistics",
        f"at first all steps were compared; now the first {START} are excluded.",
    )


def norms_show_it_before_the_loss(results: Results) -> Claim:
    """Compare the steps of the first alarms of the gradients and of the loss."""
    alerts, norms = results["stability/alerts"], results["stability/gradient_statistics"]["total_l2"]
    gradient, loss = _alarms(alerts, "gradient"), _alarms(alerts, "metric")
    first = {"gradient": _first_step(gradient), "loss": _first_step(loss)}
    warned = gradient.rolling(step=AHEAD, min_periods=1).max().shift(step=1, fill_value=0)
    preceded = of(warned.where(loss == 1).mean("step"), optimizer="unstable")
    stable = of(first["gradient"], optimizer="stable")
    quiet_seeds = stable["seed"].values[np.isnan(stable.values)]
    ahead = (first["gradient"] < first["loss"]) & first["loss"]["seed"].isin(quiet_seeds)
    dead = results["stability/saturation"]["total_fraction_units_saturated"].isel(step=1)
    before = of(_over_stable(norms, first["loss"], AHEAD, 1), optimizer="unstable")
    at = of(_over_stable(norms, first["loss"], 0, 0), optimizer="unstable")
    return Claim(
        "The norms of the gradients show instability before the loss does.",
        "not published; our question",
        [
            *(
                Measured(f"first alarm of the {name}, {kind}", of(steps, optimizer=kind).values)
                for kind in UNSTABLE
                for name, steps in first.items()
            ),
            Measured("first alarm of the gradient, stable (a false alarm)", stable.values),
            Measured(f"norm in the {AHEAD} steps before the first alarm of the loss / stable twin's", before.values),
            Measured("norm at the first alarm of the loss / stable twin's", at.values),
            Measured(
                f"alarms of the loss with one of the gradient in the {AHEAD} steps before, unstable",
                preceded.values,
                "share",
            ),
            Measured(
                f"all steps with an alarm of the gradient in the {AHEAD} steps before, unstable",
                of(warned, optimizer="unstable").mean("step").values,
                "share",
            ),
            *measured(
                f"units that are 0 almost everywhere at step {int(dead['step'])}",
                {kind: of(dead, optimizer=kind) for kind in ("stable", "unstable")},
                "share",
            ),
        ],
        verdict(of(ahead, optimizer=list(UNSTABLE)).values),
        "Alarms are Spike and ExplodingTensor of the stage `alerts`, at steps counted from 0. Criterion: in each run "
        "with too high a learning rate the gradient's alarm comes first, and the stable run of the same seed has none, "
        "because a warning that every run gives is none. The gradient at a step is that of the loss at the same step, "
        "so both explode together, and a spike of the norm when a network begins to learn is harmless. The last rows "
        "show the outputs of the layers at the first snapshot.",
        "stability/alerts",
        "at first a warning also counted if the stable run of the same seed gave it.",
    )


def _twins(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the runs of each init and twin, by description."""
    return {f"{words} {twin}": of(array, init=init, variant=twin) for init, words in INITS.items() for twin in TWINS}


def _twice_as_large(values: dict[str, xr.DataArray]) -> np.ndarray:
    """Return for each init and seed whether the residual twin has more than twice the value of the plain one."""
    plain, residual = ([values[f"{init} {twin}"].values for init in INITS.values()] for twin in TWINS)
    return np.concatenate(residual) > 2 * np.concatenate(plain)


def _end_losses(loss: xr.DataArray, optimizers: tuple[str, ...]) -> str:
    """Write the losses of all runs at the end."""
    return ", ".join(
        f"{kind} {' and '.join(f'{value:.2f}' for value in last(of(loss, optimizer=kind)).values)}".replace(
            "nan", "NaN"
        )
        for kind in optimizers
    )


def _rates(array: xr.DataArray, optimizers: tuple[str, ...]) -> str:
    """Write the learning rates of the runs."""
    return " and ".join(f"{rate:g}" for rate in np.unique(of(array, optimizer=list(optimizers))["lr"].values))


def _alarms(alerts: xr.Dataset, kind: str) -> xr.DataArray:
    """Return 1 at the steps where the loss (`metric`) or a gradient (`gradient`) spikes or explodes, else 0."""
    rules = (alerts["kind_of"] == kind) & alerts["rule_of"].isin(["Spike", "ExplodingTensor"])
    return (alerts["fires"].isel(check=np.flatnonzero(rules)) == 1).any("check").astype(float)


def _first_step(alarms: xr.DataArray) -> xr.DataArray:
    """Return the step of the first alarm, NaN if there is none."""
    return alarms["step"].where(alarms == 1).min("step")


def _over_stable(norms: xr.DataArray, alarms: xr.DataArray, start: int, stop: int) -> xr.DataArray:
    """Return the mean norm from `start` to `stop` steps before each run's first alarm, over its stable twin's."""
    stable = of(norms, optimizer="stable")
    ratios = xr.full_like(alarms, np.nan, dtype=float)
    for i, step in enumerate(alarms.values):
        if np.isfinite(step):
            window = {"step": slice(step - start, step - stop)}
            twin = of(stable, seed=int(alarms["seed"].values[i])).isel(run=0)
            ratios[i] = norms.isel(run=i).sel(window).mean() / twin.sel(window).mean()
    return ratios
