"""Findings on kNN accuracy and effective rank."""

import numpy as np
import xarray as xr

from trajlab.replays.observers.observer import INPUT
from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import typical
from trajlab.statistics.wording import count, listed, number, share

HEADLINES = ("knn_best", "knn_chance")

CLEAR = 0.03
"""Smallest difference of kNN accuracies that is reported: less is a handful of samples."""

FACTOR = 1.1
"""Smallest factor between effective ranks that is reported."""


def headline_data(result: xr.Dataset) -> xr.Dataset:
    """Add the kNN accuracy of the layer where it is highest."""
    if "knn_accuracy" not in result:
        return result
    accuracy = result["knn_accuracy"]
    inner = accuracy.sel(layer=[name for name in accuracy["layer"].values if name != INPUT])
    named = {
        "long_name": "kNN accuracy, best layer",
        "units": "1",
        "share": True,
        "definition": "largest kNN accuracy of a layer",
    }
    return result.assign(knn_best=inner.max("layer").assign_attrs(named))


def embedding(result: xr.Dataset) -> list[Finding]:
    """Report the layer of the highest kNN accuracy, its largest change, and the largest change of an effective rank."""
    return [
        *nonfinite(result, "singular_values", "features"),
        *_best(result),
        *_changed(result),
        *_ranks(result),
        *_same(result),
    ]


def _ends(array: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the medians over the runs at the first and the last step, of layers known at both, without the inputs."""
    array = typical(array)
    array = array.sel(layer=[name for name in array["layer"].values if name != INPUT])
    at_ends = array.isel(step=[0, -1]).dropna("layer")
    return at_ends.isel(step=0), at_ends.isel(step=-1)


def _medians(result: xr.Dataset) -> str:
    return " (medians of the runs)" if result.sizes.get("run", 1) > 1 else ""


def _between(first: xr.DataArray, last: xr.DataArray) -> str:
    return f"From step {int(first['step']):,} to {int(last['step']):,}"


def _best(result: xr.Dataset) -> list[Finding]:
    if "knn_accuracy" not in result:
        return []
    last = _ends(result["knn_accuracy"])[1]
    if not last.size:
        return []
    best = last.max().item()
    names = [f"`{name}`" for name in last["layer"].values[last.values == best]]
    same = len(names) == last.size > 1
    where = "the same in every layer" if same else f"highest in {listed(names)}"
    held = [f"majority class: {share(float(typical(result['knn_chance'])))}"]
    if INPUT in result["layer"].values:
        inputs = typical(result["knn_accuracy"]).sel(layer=INPUT).sel(step=last["step"]).item()
        held.insert(0, f"inputs: {share(inputs)}")
    held += ["medians of the runs"] if _medians(result) else []
    text = (
        f"At step {int(last['step']):,} the {result.attrs.get('neighbors', 'k')}-NN accuracy is {where}: {share(best)}"
    )
    text += f" ({'; '.join(held)})"
    return [Finding(f"{text}.", "knn_accuracy")]


def _changed(result: xr.Dataset) -> list[Finding]:
    if "knn_accuracy" not in result or result.sizes["step"] < 2:
        return []
    first, last = _ends(result["knn_accuracy"])
    if not first.size:
        return []
    change = last.values - first.values
    position = int(abs(change).argmax())
    if abs(change[position]) < CLEAR:
        text = f"{_between(first, last)} the kNN accuracy changes in no layer by {share(CLEAR)} of the samples"
        return [Finding(f"{text}{_medians(result)}.", "knn_accuracy")]
    before, after = (share(array.values[position]) for array in (first, last))
    text = f"{_between(first, last)} the kNN accuracy of `{first['layer'].values[position]}` "
    text += f"{'rises' if change[position] > 0 else 'falls'} from {before} to {after}"
    text += ", the largest change of all layers" if first.size > 1 else ""
    return [Finding(f"{text}{_medians(result)}.", "knn_accuracy")]


def _ranks(result: xr.Dataset) -> list[Finding]:
    first, last = _ends(result["effective_rank"])
    if result.sizes["step"] < 2 or not first.size:
        return []
    ratio = np.log(last.values / first.values)
    position = int(abs(ratio).argmax())
    if abs(ratio[position]) < np.log(FACTOR):
        return []
    name = first["layer"].values[position]
    before, after = (number(array.values[position]) for array in (first, last))
    size = count(int(typical(result["features"]).sel(layer=name)), "feature")
    text = f"{_between(first, last)} the effective rank of the {size} of `{name}` "
    text += f"{'grows' if ratio[position] > 0 else 'shrinks'} from {before} to {after}"
    text += ", relatively the most of all layers" if first.size > 1 else ""
    return [Finding(f"{text}{_medians(result)}.", "effective_rank")]


def _same(result: xr.Dataset) -> list[Finding]:
    """Report layers with equal features for all samples."""
    lost = result["constant"] == result["features"]
    some = lost.any([dim for dim in lost.dims if dim != "layer"])
    names = [f"`{name}`" for name in lost["layer"].values[some.values]]
    if not names:
        return []
    steps = lost["step"].values[lost.any([dim for dim in lost.dims if dim != "step"]).values]
    text = f"All samples have the same features in {listed(names)}, first at step {int(steps[0]):,}"
    return [Finding(f"{text}{', in some run' if lost.sizes.get('run', 1) > 1 else ''}.", "singular_values")]
