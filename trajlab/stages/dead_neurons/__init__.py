"""Dead and dormant units, and when they die and revive."""

from collections.abc import Mapping
from functools import partial

import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observe import observe
from trajlab.replays.observers.activity import Activity
from trajlab.scan.as_one_task import as_one_task
from trajlab.stages.dead_neurons.life_table import MEANINGS as LIFE_TABLE
from trajlab.stages.dead_neurons.quantities import FRACTIONS, quantities
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.units import changed_table, layers_of, nonzero_table, on_one_probe, units_of

_SHARE = "over the units of the layer with a known value"
_PAIR = "count; units known at both snapshots"
MEANINGS = {
    "active_fraction": Meaning(
        "share of positions where active", "1", "positions with h > 0 / positions with finite h", share=True
    ),
    "dead": Meaning(
        "dead",
        "1",
        "1 if h is at the same constant of its activation at all positions of the probe, by `dead_at`, else 0",
    ),
    "near_dead": Meaning("nearly dead", "1", "1 if h is off the constant at less than min_active_fraction, else 0"),
    "dormant": Meaning("dormant", "1", "1 if E|h| ≤ tau · mean_k E|h_k|, else 0"),
    "dormant_score": Meaning("dormancy score", "1", "E|h| / mean_k E|h_k| over the units of the layer"),
    "never_positive": Meaning("never positive", "1", "1 if h ≤ 0 at all positions of the probe, else 0"),
    "gradient_dead": Meaning(
        "without gradient", "1", "1 if g = 0 in weight row and bias over `window` recorded steps, else 0"
    ),
    "weight_static": Meaning("with unchanged weights", "1", "1 if bits(w_t) = bits(w_prev) in the whole row, else 0"),
    "died": Meaning("units that died", "units", f"alive before, dead now; {_PAIR}"),
    "revived": Meaning("units that revived", "units", f"dead before, alive now and at some earlier snapshot; {_PAIR}"),
    "born": Meaning("units alive for the first time", "units", f"dead before, alive now and never earlier; {_PAIR}"),
    "nonfinite": Meaning("activations that are NaN or Inf", "activations", "count over positions and units"),
    "agreement": Meaning(
        "agreement of gradient_dead with dead", "1", f"share of equal values {_SHARE} of both", share=True
    ),
    "agreement_static": Meaning(
        "agreement of weight_static with dead", "1", f"share of equal values {_SHARE} of both", share=True
    ),
}
for _name in FRACTIONS:
    MEANINGS[f"fraction_{_name}"] = Meaning(
        f"share of units {MEANINGS[_name].long_name}", "1", f"mean {_SHARE}", share=True
    )
MEANINGS |= LIFE_TABLE


def dead_neurons(
    activations: Mapping[str, xr.DataArray] | None = None,
    gradients: Mapping[str, xr.DataArray] | None = None,
    weights: Mapping[str, xr.DataArray] | None = None,
    *,
    tau: float = 0.025,
    min_active_fraction: float = 0.01,
    window: int = 10,
) -> xr.Dataset:
    """Dead, nearly dead and dormant units, and when units die, revive and become active for the first time.

    Answers: how many units do nothing, since when, for how long, and do they ever revive?

    Parameters
    ----------
    activations
        Outputs of layers on the probe by name, dims (step, …, unit, …), as `trajlab.replay` returns them: of modules
        and of functions such as `F.relu`. Arrays of yours count as outputs of a ReLU, or of what the attr
        `module_class` names; those with the attr `activation` False enter the score as max(h, 0).
    gradients
        Gradients of parameters by name, for what is known without a model; of sampled gradients, the recorded entries.
    weights
        Weights of parameters by name, for the same purpose.
    tau
        Units with a dormancy score up to this are dormant.
    min_active_fraction
        Units off their constant at less than this share of the probe's positions are nearly dead.
    window
        Number of recorded steps over which a unit must have no gradient.

    Returns
    -------
    active_fraction, dead, near_dead, dormant, dormant_score, never_positive : (step, layer, unit)
        State of each unit on the probe, 1 for yes and 0 for no. Rows of layers with fewer units end in NaN. A unit is
        dead if it is stuck at the constant of its activation at all positions: ReLU and its like at 0, ReLU6 at 0 or 6,
        Hardtanh and Hardsigmoid at a bound, Threshold at its value, Hardswish and shrinks at 0. GELU, SiLU, Mish and
        Softplus only tend to 0: their units are dead where the RMS of h is at most 0.001 of the layer's mean |h|. Units
        that are never positive may well transmit: `never_positive` is apart. Tanh, Sigmoid, ELU, LeakyReLU and
        LogSigmoid have no constant: their units are never dead, 0, however negative they are. The unit of a gated MLP
        (SwiGLU, GEGLU) is the product that enters the next weight. The coord `dead_at` says which holds for a layer.
    gradient_dead : (step, layer, unit)
        Whether weight row and bias had no gradient over the window that ends at this step; NaN before the first full
        window, and at steps without a gradient, such as the closing snapshot.
    weight_static : (step, layer, unit)
        Whether the unit's weights equal those of the previous snapshot to the bit; NaN at the first.
    fraction_dead, fraction_near_dead, fraction_dormant, fraction_never_positive : (step, layer)
        Shares of the units.
    fraction_gradient_dead, fraction_weight_static : (step, layer)
        The same of the proxies.
    died, revived, born : (step, layer)
        Units whose state changed since the previous snapshot; NaN at the first. The number of dead units changes by
        died − revived − born.
    deaths, revivals, first_active, first_death, last_death : (layer, unit)
        Number of times that a unit died after being active, and revived; the steps at which it was first active, and
        first and last found to have died. A unit that is dead from the start is born when it is first active, which is
        no revival; being dead before is no death. Snapshots without a known state are skipped, so that deaths across
        gaps count, unlike in `died`.
    dead_steps, longest_dead, longest_dead_span, dead_at_end : (layer, unit)
        Snapshots at which the unit is dead; its longest dead spell in snapshots, and in optimizer steps from the first
        dead snapshot to the next active one; and whether it is dead at its last known snapshot.
    fraction_ever_dead, fraction_never_active, fraction_ever_died, fraction_died_for_good : (layer)
        Shares of units: dead at any snapshot, dead at all snapshots, dead after being active, and of the latter those
        dead at the end.
    survival, at_risk : (step, layer)
        Kaplan–Meier estimate of the share of units that have not yet died, and the number at risk. A unit is at risk
        from when it is first active until it dies or is last known; a unit that is never active is not at risk.
    agreement, agreement_static : (step, layer)
        Share of units for which `gradient_dead`, or `weight_static`, equals `dead`.
    nonfinite : (step, layer)
        Activations that are NaN or Inf. All else excludes them.
    total_… : (step)
        The same over all units of all layers; what is about death, over the layers whose units can be dead, if there
        are any.

    Where it is not known which axis runs over the units, or where the activation is constant, the state is NaN, and
    `dead_at` says why; `--unit-axis` names the axis. Activations that cannot be observed are named in the attr
    `unobserved`. With activations, layers and steps are those of the activations, and the coord `source` names the
    module whose parameters lead into the units. Without, each parameter with two dims or more is a layer, named as its
    module, at the steps of the gradients, or of the weights. In a layer without any active unit, scores are 0/0, NaN,
    and all units are dormant.

    Raises
    ------
    MissingData
        The run has no activations, gradients or weights.
    BadSetting
        A setting is out of range, an array of activations has no dim `unit`, or two are of different probes.

    References
    ----------
    Score of dormant neurons (ReDo): Sokar et al. 2023, arXiv:2302.12902. Survival: Kaplan & Meier 1958,
    doi:10.1080/01621459.1958.10501452, with late entry as in Klein & Moeschberger 2003, Survival Analysis, eq. 4.6.1.
    """
    if window < 1 or tau < 0 or not 0 <= min_active_fraction <= 1:
        raise BadSetting(
            f"cannot use tau={tau}, min_active_fraction={min_active_fraction} and window={window}: choose tau ≥ 0, "
            "min_active_fraction from 0 to 1 and window ≥ 1"
        )
    activations, gradients, weights = activations or {}, gradients or {}, weights or {}
    activity = observe(activations, Activity()) if activations else {}
    layers = layers_of(activity, {**weights, **gradients})
    if not layers:
        raise MissingData(
            "cannot find units: the run has no activations, and no gradients or weights of two dims or more; record "
            "with Recorder(gradients=True), or with Recorder(probe=...) and describe={'model': {'factory': …}}"
        )
    tables = {("activity", name): table for name, table in activity.items()}
    for kind, table, arrays in (("gradient", nonzero_table, gradients), ("weight", changed_table, weights)):
        for layer in layers:
            for name in (layer.weight, layer.bias)[: 2 if kind == "gradient" else 1]:
                if name in arrays and units_of(arrays[name]) == layer.units and (kind, name) not in tables:
                    tables[kind, name] = table(arrays[name])
    work = partial(
        quantities,
        keys=tuple(tables),
        layers=tuple(layers),
        tau=tau,
        min_active_fraction=min_active_fraction,
        window=window,
    )
    result = as_one_task(work, *tables.values())
    return annotate(
        result,
        MEANINGS,
        tau=tau,
        min_active_fraction=min_active_fraction,
        window=window,
        **on_one_probe(activity.values()),
    )
