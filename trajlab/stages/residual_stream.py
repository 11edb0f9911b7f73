"""The residual stream of a transformer over training: size, outliers and rank of hidden states, and the logit lens."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

from trajlab.errors import MissingData
from trajlab.replays.observe import layers_in, observe
from trajlab.replays.observers.hidden_states import COLUMNS, MASSIVE, RANK_TOKENS, TIMES, HiddenStates
from trajlab.replays.observers.logit_lens import COLUMNS as SCORES
from trajlab.replays.observers.logit_lens import LogitLens
from trajlab.replays.observers.observer import Observable
from trajlab.scan.as_one_task import as_one_task
from trajlab.statistics.result import Meaning, annotate, stride
from trajlab.statistics.units import on_one_probe

_TOKENS = "mean over the tokens of the probe"
_LENS = "as the loss, of the last norm and output layer applied to the hidden state"
MEANINGS = {
    "norm": Meaning("norm of hidden states", "1", f"|h|₂, {_TOKENS}"),
    "position_norm": Meaning("norm of hidden states by position", "1", "|h|₂, mean over the samples"),
    "largest": Meaning("largest hidden value", "1", "max |h| over tokens and units"),
    "largest_position": Meaning("position of the largest hidden value", "1", "counted from 0", nominal=True),
    "largest_unit": Meaning("unit of the largest hidden value", "1", "counted from 0", nominal=True),
    "median": Meaning("median hidden value", "1", "median |h| of a sequence, mean over the sequences"),
    "massive_ratio": Meaning("largest hidden value over the median", "1", "max over the sequences of max |h| / median"),
    "massive": Meaning("massive activations", "values", f"count of |h| > {MASSIVE:g} and > {TIMES:g} · median |h|"),
    "kurtosis": Meaning("excess kurtosis over units", "1", f"m₄ / m₂² − 3 over the units of a token, {_TOKENS}"),
    "effective_rank": Meaning(
        "effective rank of hidden states", "1",
        f"exp(−Σ p ln p), p = σ / Σσ of the centered states of up to {RANK_TOKENS:,} tokens",
    ),
    "lens_loss": Meaning("loss by the logit lens", "nat", f"mean of −log p(label), {_LENS}"),
    "lens_accuracy": Meaning("accuracy by the logit lens", "1", f"label = argmax, {_LENS}", share=True),
    "loss": Meaning("loss of the network", "nat", "mean of −log p(label) of its own output"),
    "nonfinite": Meaning("hidden values that are NaN or Inf", "values", "count; their tokens are excluded"),
}  # fmt: skip

CLOSE = 1e-3
"""Largest relative difference between the loss of the last block by the lens and that of the network."""


def residual_stream(
    replay: Callable[..., Mapping[str, xr.DataArray]], probe: xr.Dataset | None = None, *, layers: Sequence[str] = (),
    logit_lens: bool = True,
) -> xr.Dataset:  # fmt: skip
    """Hidden states after each block of a transformer: norm, outliers, rank, and the loss of predictions from them.

    Answers: does the residual stream grow, do massive activations appear, does it lose rank, and at which block does
    the prediction form?

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    probe
        The batch; the logit lens is scored by its labels.
    layers
        Names or patterns of layers, (position, unit); by default the blocks, and the state that enters the first.
    logit_lens
        Whether to apply the last norm and the output layer to each hidden state. The cost is that of the output layer,
        times the number of blocks.

    Returns
    -------
    norm, kurtosis : (step, layer)
        Norm of the hidden state of a token, and excess kurtosis over its units, means over the tokens. Kurtosis is 0
        for Gaussian units, and large if few units stick out (outlier dimensions).
    position_norm : (step, layer, position)
        The norm at each position.
    largest, largest_position, largest_unit, median, massive_ratio, massive : (step, layer)
        Largest |h|, and its position and unit; median |h| of a sequence, mean over the sequences; largest ratio of
        max |h| to median |h| in a sequence; and number of massive activations, those above 100 and above 1,000 times
        the median of their sequence.
    effective_rank : (step, layer)
        Effective rank of the centered hidden states of up to 2,048 tokens, evenly spaced over the probe.
    lens_loss, lens_accuracy : (step, layer)
        Loss, in nat, and accuracy of the modules in the attr `logit_lens`, the last norm and the output layer, applied
        to each hidden state. Absent without labels of tokens. NaN at a step at which the loss of the last block differs
        from the network's own by more than 0.1 %: then these modules are not all that follows the blocks.
    loss : (step)
        Loss of the network itself, in nat.
    nonfinite : (step, layer)
        Number of values that are NaN or Inf; all other variables exclude their tokens.

    Padding is left out.

    Raises
    ------
    MissingData
        The run names no model or has no probe, or the network has no blocks, or a layer is not (position, unit).

    References
    ----------
    Massive activations: Sun et al. 2024, arXiv:2402.17762. Kurtosis: Elhage et al. 2023, Privileged bases in the
    transformer residual stream. Effective rank: Roy and Vetterli 2007. Logit lens: nostalgebraist 2020, Interpreting
    GPT: the logit lens.
    """
    states = replay(layers=list(layers)) if layers else replay(of="blocks")
    seen = layers_in(states)
    flat = [layer.name for layer in seen if len(layer.shape) != 2 or layer.unit_axis != 1]
    if not seen or flat:
        mismatch = f"{', '.join(flat[:3])} {'is' if len(flat) == 1 else 'are'} not" if flat else "no list of blocks is"
        raise MissingData(
            f"cannot find a residual stream: {mismatch} (position, unit); name layers with --layers (layers= in Python)"
        )
    tables = list(observe(states, HiddenStates()).values())
    head = states.head if isinstance(states, Observable) else ()
    is_labeled = probe is not None and "targets" in probe and probe["targets"].dtype.kind in "iu"
    if logit_lens and head and is_labeled:
        lens = LogitLens(head)
        tables += [observe(states, lens)["lens"], observe(replay(layers=[""]), LogitLens())["lens"]]
    result = as_one_task(_result, *tables)
    attrs = {"logit_lens": " → ".join(head) if logit_lens and is_labeled else "", **on_one_probe(tables)}
    return annotate(result, MEANINGS, **attrs)


def _result(table: xr.DataArray, norms: xr.DataArray, *lens: xr.DataArray) -> xr.Dataset:
    columns = table.to_dataset("column")[list(COLUMNS)]
    tokens, sequences = (columns[name].where(columns[name] > 0) for name in ("tokens", "sequences"))
    result = {
        "norm": columns["norm"] / tokens,
        "position_norm": norms.isel(part=0) / norms.isel(part=1).where(norms.isel(part=1) > 0),
        "median": columns["median"] / sequences,
        "massive_ratio": columns["ratio"],
        "kurtosis": columns["kurtosis"] / tokens,
    }
    same = ("largest", "largest_position", "largest_unit", "massive", "effective_rank", "nonfinite")
    result |= {name: columns[name] for name in same}
    if lens:
        of_blocks, of_network = (part.to_dataset("column")[list(SCORES)] for part in lens)
        of_network = of_network.isel(layer=0, drop=True)
        loss = of_network["loss"] / of_network["scored"].where(of_network["scored"] > 0)
        scored = of_blocks["scored"].where(of_blocks["scored"] > 0)
        of_lens = of_blocks["loss"] / scored
        is_close = abs(of_lens.isel(layer=-1, drop=True) - loss) <= CLOSE * abs(loss)
        result |= {"lens_loss": of_lens.where(is_close), "lens_accuracy": (of_blocks["right"] / scored).where(is_close)}
        result["loss"] = loss
    positions = {"position": ("position", np.arange(norms.sizes["position"]), {"long_name": "position", "units": "1"})}
    return stride(xr.Dataset(result).drop_vars("column", errors="ignore").assign_coords(positions))
