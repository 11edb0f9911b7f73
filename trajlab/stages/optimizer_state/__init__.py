"""The state of the optimizer: size of its updates, effective learning rates, and moments that no gradient reaches."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.adam_updates import AdamUpdates
from trajlab.scan.kernels.moments import Moments
from trajlab.scan.kernels.quantiles import Quantiles
from trajlab.scan.kernels.second_moment_ratio import SecondMomentRatio
from trajlab.scan.scan import scan
from trajlab.scan.select_steps import select_steps
from trajlab.stages.optimizer_state.algorithms import ADAM, FIRST, MOMENTUM, SECOND, algorithms_of, second_moments
from trajlab.stages.optimizer_state.hyperparameters import Factors, alike, factors_of, setting_of
from trajlab.stages.optimizer_state.quantities import Tables, quantities
from trajlab.statistics.result import Meaning, annotate

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_SE = "linearized, for entries sampled without replacement; 0 if all entries are recorded"
MEANINGS = {
    "learning_rate": Meaning("learning rate", "1", "lr of the state, which a scheduler may have set for the next step"),
    "updates": Meaning("updates that the moments have seen", "updates", "step of the state"),
    "weight_norm": Meaning("norm", "weight", "|w_t|₂"),
    "update_norm": Meaning(
        "size of the last update", "weight",
        "lr |m̂ / (√v̂ + ε)|₂ of Adam, lr |b|₂ of SGD with momentum; without weight decay",
    ),
    "update_max": Meaning("largest update of an entry", "weight", "lr max|m̂ / (√v̂ + ε)|, or lr max|b|"),
    "update_ratio": Meaning("last update relative to the weights", "1", "update_norm / |w_t|₂"),
    "update_share": Meaning(
        "share of the squared update of the network", "1", "update_norm² / Σ update_norm² over the parameters",
        share=True,
    ),
    "direction_rms": Meaning(
        "RMS of the update in units of the learning rate", "1",
        "update_norm / (lr √n); 1 for Adam if all gradients agree",
    ),
    "effective_lr": Meaning(
        "effective learning rate of an entry", "weight/gradient",
        "quantile over entries of lr / (√v̂ + ε) of Adam; lr (1 − dampening) / (1 − momentum) of SGD",
    ),
    "zero_moments": Meaning(
        "share of entries without any gradient so far", "1", "mean of m = 0 and v = 0, exactly", share=True
    ),
    "fading": Meaning(
        "share of entries without a gradient since the snapshot before", "1",
        "mean of v_t ≤ β₂ᵏ v_prev (1 + rounding) over entries with v_prev > 0, k the updates between", share=True,
    ),
    "gradient_ratio": Meaning(
        "gradient against the second moment", "1", "sqrt(Σg² / Σv̂) at the weights of the snapshot, v̂ without this g",
        needs="gradients at the steps of the optimizer's states",
    ),
    "gradient_rms": Meaning(
        "RMS of the gradient in units of the second moment", "1",
        "sqrt(mean(g² / max(v̂', ε²))), v' = β₂ v + (1 − β₂) g²",
        needs="gradients at the steps of the optimizer's states",
    ),
    "nonfinite": Meaning("entries whose moments are NaN or Inf", "entries", "count"),
}  # fmt: skip
for _name in ("gradient_ratio", "gradient_rms"):
    MEANINGS[f"{_name}_se"] = Meaning(
        f"standard error of the {MEANINGS[_name].long_name}", "1", _SE, needs=MEANINGS[_name].needs
    )


def optimizer_state(
    moments: Mapping[str, Mapping[str, xr.DataArray]],
    hyperparameters: xr.Dataset,
    weights: Mapping[str, xr.DataArray],
    gradients: Mapping[str, xr.DataArray] | None = None,
    *,
    quantiles: Sequence[float] = QUANTILES,
) -> xr.Dataset:
    """How large the optimizer's updates are, and how old, uneven or empty its moments.

    Answers: which layers does the optimizer really move, at which effective learning rate, and are its second moments
    out of date?

    Parameters
    ----------
    moments
        Moments by entry of the state, as torch names them, and parameter, dims (step, ...).
    hyperparameters
        Hyperparameters and number of updates, (step, parameter).
    weights
        Parameters by name, dims (step, ...).
    gradients
        Gradients by name, dims (step, ...) or (step, sample); those at the steps of the moments are compared with them.
    quantiles
        Which quantiles of the effective learning rate, each from 0 to 1.

    Returns
    -------
    learning_rate, updates : (step, parameter)
        Learning rate and number of updates in the state.
    weight_norm, update_norm, update_max, update_ratio : (step, parameter)
        Norm of the weights, and size of the update that led to them, without weight decay. A state with a learning rate
        of 0, as schedules leave it at their end, does not tell the size of an update, which is then NaN.
    update_share : (step, parameter)
        Share of the parameter in the squared update of the network.
    direction_rms : (step, parameter)
        RMS of the update in units of the learning rate.
    effective_lr : (step, parameter, quantile)
        Quantiles of the factor of the averaged gradient of an entry.
    zero_moments, fading : (step, parameter)
        Shares of entries without any gradient so far, and without one since the snapshot before: their second moment
        has only faded. The latter is NaN where the type of the moments, such as bfloat16, is too coarse to tell, and
        with amsgrad.
    gradient_ratio, gradient_rms : (step, parameter)
        Size of the recorded gradient in units of the second moments that it meets; well above 1 where these are out of
        date. NaN where no gradient was recorded.
    …_se : as the estimate
        Standard errors, where only a sample of the gradients' entries was recorded; the weights of rare large terms
        make them too small for few entries.
    nonfinite : (step, parameter)
        Entries whose moments are NaN or Inf, which all else excludes.
    total_… : (step)
        The same for the whole network.

    Raises
    ------
    BadSetting
        A quantile is not from 0 to 1.
    MissingData
        The moments are those of another algorithm than Adam, AdamW or SGD with momentum.

    Notes
    -----
    The update is that of the moments in the state: m̂ = m / (1 − β₁ᵏ), v̂ = v / (1 − β₂ᵏ) after k updates; with amsgrad
    v is the largest so far. With Nesterov's momentum it also depends on the gradient, and is NaN. Quantiles of more
    than 16,384 entries are off by at most 1/256.

    References
    ----------
    Adam: Kingma and Ba 2015, arXiv:1412.6980. `gradient_rms` is RMS_t of Wortsman et al. 2023, arXiv:2304.13013, which
    exceeds 2 before spikes of the loss.
    """
    if not all(0 <= q <= 1 for q in quantiles):
        raise BadSetting(f"cannot compute optimizer_state with quantiles={list(quantiles)}: choose numbers from 0 to 1")
    kinds, others = algorithms_of(moments, hyperparameters, weights)
    if not kinds:
        why = next(iter(others.values()), "they are of no parameter")
        raise MissingData(
            f"cannot compute optimizer_state: found the moments {', '.join(moments)}: {why}; "
            "name a run of Adam, AdamW or SGD with momentum"
        )
    names = list(kinds)
    firsts = {name: moments[FIRST if kinds[name] == ADAM else MOMENTUM][name] for name in names}
    seconds = second_moments(moments, [name for name in names if kinds[name] == ADAM])
    tables: dict[str, xr.DataArray] = {}
    tables["weights"], _ = scan(Moments(), {name: _at(weights[name], firsts[name]) for name in names})
    if len(seconds) < len(names):
        tables["momentum"], _ = scan(Moments(), {name: firsts[name] for name in names if name not in seconds})
    if seconds:
        tables["quantiles"], _ = scan(Quantiles(tuple(1.0 - q for q in map(float, quantiles))), seconds)
    factors = {name: _factors(hyperparameters, name, firsts[name], moments) for name in seconds}
    gradients = gradients or {}
    for number, group in enumerate(alike(factors)):
        steps, of_group = factors[group[0]]
        updates = AdamUpdates(tuple(steps.tolist()), _rows(of_group, "first", "second", "epsilon", "fade", "floor"))
        divisors = {name: seconds[name] for name in group}
        tables[f"updates_{number}"], _ = scan(updates, {name: firsts[name] for name in group}, weight=divisors)
        recorded = {name: _at(gradients[name], firsts[name]) for name in group if name in gradients}
        recorded = {name: array for name, array in recorded.items() if array.sizes["step"]}
        if recorded:
            ratio = SecondMomentRatio(tuple(steps.tolist()), _rows(of_group, "second", "following", "beta", "epsilon"))
            met = {name: moments[SECOND][name] for name in recorded}
            tables[f"gradients_{number}"], _ = scan(ratio, recorded, weight=met)
    steps = np.unique(np.concatenate([array["step"].values for array in firsts.values()]))
    settings = {
        name: np.stack([setting_of(hyperparameters, name, parameter, steps) for parameter in names])
        for name in ("lr", "updates", "momentum", "dampening", "nesterov", "eps")
    }
    corrections = np.full((len(names), len(steps)), np.nan)
    for name, (of_parameter, of_name) in factors.items():
        corrections[names.index(name), np.searchsorted(steps, of_parameter)] = of_name.second
    known = Tables(tuple(tables), tuple(names), steps, settings, corrections, tuple(map(float, quantiles)))
    result = as_one_task(partial(quantities, known=known), *tables.values())
    attrs = {"quantiles": list(quantiles), "algorithms": sorted(set(kinds.values()))}
    return annotate(result, MEANINGS, **attrs, **({"left_out": others} if others else {}))


def _at(array: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Return a tensor at those of its steps that another has; as it is if these are all."""
    shared = np.isin(array["step"].values, like["step"].values)
    return array if shared.all() else select_steps(array, shared)


def _rows(factors: Factors, *names: str) -> tuple[tuple[float, ...], ...]:
    """Return some factors at each step, as a kernel takes them."""
    return tuple(tuple(map(float, row)) for row in zip(*(getattr(factors, name) for name in names), strict=True))


def _factors(
    hyperparameters: xr.Dataset, name: str, first: xr.DataArray, moments: Mapping[str, Mapping[str, xr.DataArray]]
) -> tuple[np.ndarray, Factors]:
    """Return the steps of the moments of a parameter, and the factors of its updates."""
    steps = first["step"].values
    second = moments[SECOND][name]
    factors = factors_of(hyperparameters, name, steps, str(second.attrs.get("stored_dtype", second.dtype)))
    if second_moments(moments, [name])[name] is not second:
        factors = factors._replace(fade=np.full(len(steps), np.nan))
    return steps, factors
