"""Figures of the distance between runs, their barriers and matched units."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.colors import CATEGORIES
from trajlab.figures.marks.heat import color_bar, heat, labels
from trajlab.figures.marks.labels import height_of, name_rows, title_of, wrap
from trajlab.figures.marks.lines import beside, lines
from trajlab.figures.marks.matrix import both_ways, matrix
from trajlab.figures.marks.selection import choose, position, recorded
from trajlab.figures.panel import Panel
from trajlab.statistics.extremes import last
from trajlab.statistics.studies import short_names

FEW = 8
"""Pairs of runs that have a line each; of more, a line is the mean of a run and all others."""

ENDS = {
    "relative_distance": ("Distance between the ends", "2 |a − b|₂ / (|a|₂ + |b|₂): √2 is unrelated."),
    "update_cosine": (
        "Direction of movement",
        "Cosine between displacements: 1 same direction, 0 unrelated.",
    ),
    "aligned_distance": ("Distance between aligned ends", "|a − P b|₂ with hidden units permuted to fit best."),
    "barrier": ("Loss barrier", "Largest rise of the loss on the straight line between the ends: 0 is connected."),
    "aligned_barrier": ("Loss barrier after alignment", "The same with hidden units permuted to fit best."),
}
"""Matrices of the report, with their titles and captions."""


SQUARE = 1.5
"""Ratio of the numbers of units up to which cells of a matrix are square."""


def comparison(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw how far runs are from each other: lines over the steps, a matrix of runs, or losses along lines.

    Parameters
    ----------
    result
        Result of the stage `comparison`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; by default the relative distance of the whole network over the steps. One without steps is a
        matrix of runs.
    select
        Which part of it.
    """
    variable = variable or (whole_name(result, "relative_distance") if "relative_distance" in result else "feature_cka")
    if variable == "feature_correlation" and variable in result:
        array, title = matched_order(result, **select)
        ax = canvas(ax, height=5.0)
        heat(array, ax, scale=both_ways())
        _of_units(ax, matched=True)
        ax.set_title(f"{title}, units in matched order")
        return ax
    left = [dim for dim in result[variable].dims if select.get(str(dim)) is None] if variable in result else []
    if set(left) - {"run"} == {"other", "step"}:
        array, title = choose(result, variable, keep=("run", "other", "step"), **select)
        ax = canvas(ax)
        title = ", ".join(filter(None, [title, over_steps(array, ax)]))
    elif set(left) - {"run"} == {"other", "alpha"}:
        array, title = choose(result, variable, keep=("run", "other", "alpha"), **select)
        ax = canvas(ax)
        along_lines(array, ax)
    elif set(left) == {"run", "other"}:
        array, title = choose(result, variable, keep=("run", "other"), **select)
        ax = canvas(ax)
        matrix(array, ax, center=center_of(variable))
    else:
        return default(result, ax=ax, variable=variable, **select)
    ax.set_title(title)
    return ax


def matched_order(result: xr.Dataset, *, by: str = "feature_match", **select: Any) -> tuple[xr.DataArray, str]:
    """Return the correlation of the units of two runs with matched units on the diagonal, the most alike first.

    Parameters
    ----------
    result
        Result of the stage `comparison`.
    by
        The matching.
    select
        The runs; by default the first two with a matrix.
    """
    part, title = _of_two(result[["feature_correlation", "feature_match", by]], **select)
    values, match = part["feature_correlation"], part[by].values
    rows = np.flatnonzero(np.isfinite(match))
    similar = np.abs(values.values[rows, match[rows].astype(int)])
    rows = rows[np.argsort(-similar, kind="stable")]
    columns = match[rows].astype(int)
    unmatched = [i for i in range(values.sizes["unit_other"]) if i not in columns and values[:, i].notnull().any()]
    others = [i for i in range(values.sizes["unit"]) if i not in rows and values[i].notnull().any()]
    return values.isel(unit=[*rows, *others], unit_other=[*columns, *unmatched]), title


def _of_two(result: xr.Dataset, **select: Any) -> tuple[xr.Dataset, str]:
    """Return the part of a result that is of two runs, by default of the first two with a value, and their names."""
    asked = {dim: label for dim, label in select.items() if label is not None}
    part = result.isel({dim: position(result, dim, label) for dim, label in asked.items()})
    for dim in ("run", "other"):
        if dim in part.dims:
            known = part["feature_match"].notnull().any([d for d in part["feature_match"].dims if d != dim]).values
            part = part.isel({dim: int(np.argmax(known))})
    names = [str(part[dim].item()) for dim in ("run", "other") if dim in part.coords]
    return part, " – ".join(names)


def center_of(variable: str) -> float | None:
    """Return the value that the colors of a variable diverge from; none of most."""
    return 0.0 if "cosine" in variable and "null" not in variable else None


def whole_name(result: xr.Dataset, name: str) -> str:
    """Name a variable of the whole network, or of a single tensor the variable itself."""
    return f"total_{name}" if f"total_{name}" in result else name


def pairs(array: xr.DataArray) -> xr.DataArray:
    """Stack a variable of each two runs on `pair`, each two once."""
    if "run" not in array.dims:
        return array.rename(other="pair")
    runs, others = ([str(name) for name in array[dim].values] for dim in ("run", "other"))
    pairs_of = [(a, b) for a in range(len(runs)) for b in range(len(others)) if others[b] not in runs[: a + 1]]
    all_runs = list(dict.fromkeys([*runs, *others]))
    short = dict(zip(all_runs, short_names(all_runs), strict=True))
    names = np.array([f"{short[runs[a]]} – {short[others[b]]}" for a, b in pairs_of], dtype=object)
    rows, columns = (xr.DataArray([pair[i] for pair in pairs_of], dims="pair") for i in (0, 1))
    return array.drop_vars([name for name in array.coords if "run" in array[name].dims]).isel(
        run=rows, other=columns
    ).drop_vars("other").assign_coords(pair=names)  # fmt: skip


def over_steps(array: xr.DataArray, ax: Axes) -> str:
    """Draw a line for each two runs, or of many for each run the mean over the others; say which."""
    array, each = recorded(array), pairs(array)
    if each.sizes["pair"] <= FEW or "run" not in array.dims:
        lines(recorded(each).transpose("step", "pair"), ax)
        return ""
    lines(array.mean("other", keep_attrs=True).transpose("step", "run"), ax)
    return "mean over the other runs"


def along_lines(array: xr.DataArray, ax: Axes) -> None:
    """Draw losses along the lines between runs, the largest barriers named."""
    each = pairs(array).transpose("pair", "alpha")
    alpha, values = each["alpha"].values, each.values
    rise = (values - values[:, :1] * (1 - alpha) - values[:, -1:] * alpha).max(1)
    order = np.argsort(-np.nan_to_num(rise, nan=-1.0), kind="stable")
    names = labels(each, "pair")
    for rank, row in enumerate(order):
        named = rank < FEW
        style: dict[str, Any] = {"color": CATEGORIES[rank]} if named else {"color": CATEGORIES[-1], "alpha": 0.3}
        ax.plot(alpha, values[row], label=names[row] if named else None, zorder=2 if named else 1, **style)
    ax.set_xlabel("α, from the first run to the second")
    ax.set_ylabel(wrap(title_of(array), height_of(ax)))
    ax.margins(x=0.01)
    beside(ax)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    distance = whole_name(result, "relative_distance")
    caption = "2 |a_t − b_t|₂ / (|a_t|₂ + |b_t|₂): 0 for equal weights, √2 for unrelated ones."
    draw = partial(_alone, result, distance)
    figures = [Panel("distance", "Distance between runs", caption, (9.2, 3.2), draw)] if distance in result else []
    if "run" in result.dims:
        count = result.sizes["other"]
        size = (min(4.2 + 0.42 * count, 9.2), min(1.8 + 0.36 * count, 9.0))
        for name, (title, caption) in ENDS.items():
            variable = whole_name(result, name)
            if (
                variable in result
                and {"run", "other"} <= set(result[variable].dims)
                and result[variable].notnull().any()
            ):
                figures.append(Panel(name, title, caption, size, partial(_matrix, result[variable])))
    if "matched_features" in result and bool(result["matched_features"].notnull().any()):
        caption = "Units matched one to one by their activations on the probe; a dot for each pair of runs."
        size = (9.2, tall(result.sizes["layer"]))
        figures.append(Panel("matched_features", "Matched units", caption, size, partial(_units, result)))
    if "feature_correlation" in result and bool(result["feature_correlation"].notnull().any()):
        caption = f"Correlation of the units of {result.attrs.get('matrix_layer', '')} of two runs over the probe, as "
        caption += "they are, and sorted: matched units on the diagonal, the most alike first."
        draw = partial(_matrices, result)
        figures.append(Panel("feature_correlation", "Units of two runs", caption, (9.2, 3.6), draw))
    for name, title in (("line_loss", "Loss along the lines"), ("aligned_line_loss", "Loss along aligned lines")):
        if name in result and bool(np.isfinite(result[name].values).any()):
            caption = "Loss on the probe along the straight line between the ends of each two runs."
            figures.append(Panel(name, title, caption, (9.2, 3.2), partial(_alone, result, name)))
    return figures


def _alone(result: xr.Dataset, name: str, figure: Figure) -> None:
    comparison(result, ax=figure.add_subplot(), variable=name)


def _matrices(result: xr.Dataset, figure: Figure) -> None:
    """Draw the correlation of units as they are, and sorted by both matchings."""
    axes = figure.subplots(1, 3)
    part, title = _of_two(result[["feature_correlation", "feature_match"]])
    mesh = heat(part["feature_correlation"], axes[0], scale=both_ways(), bar=False)
    figure.suptitle(title)
    axes[0].set_title("as they are")
    _of_units(axes[0])
    for ax, by, words in zip(axes[1:], ("feature_match", "feature_match_greedy"), ("best", "greedy"), strict=True):
        heat(matched_order(result, by=by)[0], ax, scale=both_ways(), bar=False)
        ax.set_title(f"sorted, {words} matching")
        _of_units(ax, matched=True)
        ax.set_ylabel("")
    color_bar(mesh, list(axes), part["feature_correlation"], both_ways())


def _of_units(ax: Axes, *, matched: bool = False) -> None:
    """Name the axes of a matrix of the units of two runs; in matched order numbers would be ranks."""
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    ax.set_aspect("equal" if SQUARE > abs((high - low) / (top - bottom)) > 1 / SQUARE else "auto")
    for axis, run in ((ax.yaxis, "first"), (ax.xaxis, "second")):
        axis.set_label_text(f"unit of the {run} run")
        count = round(abs(np.ptp(axis.get_view_interval())))
        ticks = np.arange(0, count, -(-count // 5)) if not matched else np.arange(0)
        axis.set_ticks(ticks, [str(tick) for tick in ticks])


def _matrix(array: xr.DataArray, figure: Figure) -> None:
    matrix(last(array).assign_attrs(array.attrs), figure.add_subplot(), center=center_of(str(array.name)))


def _units(result: xr.Dataset, figure: Figure) -> None:
    """Draw the correlation of matched units in each layer, a dot for each pair of runs, beside that by chance."""
    ax = figure.add_subplot()
    names = labels(result["matched_features"], "layer")
    for name, label, color, marker in (
        ("matched_features", "matched units", CATEGORIES[0], "o"),
        ("matched_features_null_95", "95 % quantile by chance", CATEGORIES[-1], "|"),
    ):
        each = pairs(last(result[name])).transpose("layer", "pair").values
        rows = np.repeat(np.arange(len(names)), each.shape[1])
        ax.scatter(each.ravel(), rows, s=28, color=color, marker=marker, alpha=0.6, label=label)
    ax.set_ylim(len(names) - 0.5, -0.5)
    name_rows(ax, names)
    ax.set_xlim(None, 1.02)
    ax.set_xlabel("mean correlation of matched units")
    beside(ax)
