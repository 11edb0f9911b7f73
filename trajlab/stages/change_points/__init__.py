"""When something changed: the level, slope or spread of every series."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.moments import Moments
from trajlab.scan.kernels.update_size import Updates
from trajlab.scan.scan import Tensor, by_name, scan
from trajlab.stages.change_points.events import Change, Watch, changes
from trajlab.stages.change_points.one_step import SHORTEST
from trajlab.stages.change_points.series import Series, all_series
from trajlab.statistics.metrics import metric_columns
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.unusual import KINDS

MEANINGS = {
    "value": Meaning("value of the series", "as the series", "norm, mean |update| per optimizer step, or metric"),
    "begins": Meaning("first step of a change", "steps", "NaN beyond the last change"),
    "kind": Meaning(
        "kind of a change", "1", "0 none, 1 spike that comes back, 2 jump that stays, 3 slope, 4 spread, 5 NaN or Inf"
    ),
    "score": Meaning(
        "deviation from the series' own past",
        "standard deviations",
        "of a spike or jump from its prediction; of other changes, standard errors of the difference of two windows",
    ),
    "before": Meaning("value before a change", "as the series", "median of the values before"),
    "after": Meaning("value after a change", "as the series", "peak of a spike, else median of the values after"),
    "changes": Meaning(
        "changes", "changes", f"count, those left out included; NaN of a series with fewer than {SHORTEST} values"
    ),
}


def change_points(
    metrics: xr.Dataset | None = None,
    gradient: Tensor | None = None,
    weight: Tensor | None = None,
    *,
    window: int = 50,
    smallest_change: float = 0.01,
    false_alarms: float = 0.05,
    max_changes: int = 16,
) -> xr.Dataset:
    """Find changes of level, slope and spread in every weight norm, update, gradient norm and metric.

    Answers: when did something change, in which layer first, and did it come back or stay?

    Each series is compared with its own past; series without negative values by their logarithm, so that a change is a
    factor. One step ahead, a value is predicted by the median of the last ones and by the last one, and its distance
    from either is measured in robust standard deviations of earlier residuals. An outlier whose
    next values are back is a spike, else it is a jump. Slower changes are found by moving sums: a step, or a kink, must
    explain what a cubic across the windows before and after it does not, and residuals must change in size.

    A run without changes has one or more with a probability of at most `false_alarms`, over all series, kinds and steps
    together (Bonferroni). This holds for white noise, autoregressive noise and random walks of normal increments about
    a smooth trend; noise with heavier tails has more spikes, which are then its nature.

    The first 11 values of a series only teach its past, and up to the 20th it is compared with the value before alone.

    While a run grows, `trajlab alerts --follow` and the page of `trajlab explore --follow` watch the same series by an
    online CUSUM, which takes each value once.

    Parameters
    ----------
    metrics
        Recorded metrics; counters such as epochs are left out.
    gradient
        Gradients by name, dims (step, ...) or (step, sample); norms of samples are scaled to the whole tensor.
    weight
        Weights by name, dims (step, ...).
    window
        Number of preceding values that form the past of a value. Moving sums are over half as many on each side.
    smallest_change
        Smallest standard deviation of a series without negative values, as a share; of others, of their median size.
    false_alarms
        Probability that a run without changes has one or more.
    max_changes
        Number of changes that are kept for each series, those of the highest score.

    Returns
    -------
    value : (step, series)
        The series; the coords `place_of` and `quantity_of` say of what. NaN where it was not recorded, Inf where
        entries are NaN or Inf.
    begins, kind, score, before, after : (series, change)
        The changes of each series in the order in which they begin.
    changes : (series)
        Number of changes; NaN of a series with fewer than 12 values, which have no past to be compared with.

    Raises
    ------
    BadSetting
        A window is below 20 values, a share or probability is not between 0 and 1, or no change is to be kept.
    MissingData
        The run has no metrics, gradients or weights.

    References
    ----------
    Moving sums: Eichinger and Kirch 2018, A MOSUM procedure for the estimation of multiple random change points,
    Bernoulli 24(1).
    """
    if window < 20:
        raise BadSetting(f"cannot use window={window}: choose 20 or more values")
    if not (0 < false_alarms < 1 and 0 < smallest_change < 1):
        raise BadSetting(
            f"cannot use false_alarms={false_alarms} and smallest_change={smallest_change}: choose numbers between 0 "
            "and 1"
        )
    if max_changes < 1:
        raise BadSetting(f"cannot use max_changes={max_changes}: choose 1 or more")
    tables: dict[str, xr.DataArray] = {}
    if by_name(weight):
        tables["weight"], _ = scan(Moments(), by_name(weight))
        tables["update"], _ = scan(Updates(), by_name(weight))
    if by_name(gradient):
        tables["gradient"], _ = scan(Moments(), by_name(gradient))
    columns = metric_columns(metrics)
    if columns:
        tables["metrics"], tables["measured"] = columns
    if not tables:
        raise MissingData(
            "cannot find changes: the run has no metrics, gradients or weights; name a run with snapshots"
        )
    watch = Watch(window, smallest_change, false_alarms)
    work = partial(_result, names=tuple(tables), watch=watch, most=max_changes)
    settings = {"window": window, "smallest_change": smallest_change, "false_alarms": false_alarms}
    result = annotate(as_one_task(work, *tables.values()), MEANINGS, **settings, max_changes=max_changes)
    flags = {"flag_values": list(range(len(KINDS))), "flag_meanings": " ".join(KINDS)}
    return result.assign(kind=result["kind"].assign_attrs(flags))


def _result(*tables: xr.DataArray, names: tuple[str, ...], watch: Watch, most: int) -> xr.Dataset:
    every = list(all_series(dict(zip(names, tables, strict=True))))
    steps = np.unique(np.concatenate([np.empty(0, np.int64), *(series.steps for series in every)]))
    value = np.full((len(steps), len(every)), np.nan)
    columns = np.full((5, len(every), most), np.nan)
    counts = np.zeros(len(every))
    of_series = watch._replace(rate=watch.rate / max(1, len(every)))
    for i, series in enumerate(every):
        value[np.searchsorted(steps, series.steps), i] = series.values
        events = changes(series.values, of_series)
        is_known = len(events) or np.isfinite(series.values).sum() >= SHORTEST
        counts[i] = len(events) if is_known else np.nan
        columns[:, i, : min(len(events), most)] = _columns(series, events, most).T
    columns[1][np.isnan(columns[1])] = 0
    table = {
        name: (("series", "change"), column)
        for name, column in zip(("begins", "kind", "score", "before", "after"), columns, strict=True)
    }
    labels = {
        "step": ("step", steps.astype(np.int64), {"long_name": "optimizer step", "units": "1"}),
        "series": np.array([f"{series.place} {series.quantity}" for series in every], dtype=object),
        "place_of": ("series", np.array([series.place for series in every], dtype=object)),
        "quantity_of": ("series", np.array([series.quantity for series in every], dtype=object)),
    }
    return xr.Dataset({"value": (("step", "series"), value), **table, "changes": ("series", counts)}, labels)


def _columns(series: Series, events: Sequence[Change], most: int) -> np.ndarray:
    """Return the changes of the highest score, by the step at which they begin, (change, column)."""
    strongest = sorted(sorted(events, key=lambda change: -abs(change.score))[:most])
    rows = [[series.steps[change.position], *change[1:]] for change in strongest]
    return np.array(rows, np.float64).reshape(len(rows), 5)
