"""Descriptions of the variables of a result, and totals over the whole network."""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import xarray as xr

Labeled = TypeVar("Labeled", xr.Dataset, xr.DataArray)


REFERENCE = "{reference}"
"""Placeholder, in titles and definitions, for the state that distances are measured from."""


class Meaning(NamedTuple):
    """Description of a variable of a result, which becomes its attrs.

    Attributes
    ----------
    long_name
        Title for axes and tables; may hold the placeholder `REFERENCE`.
    units
        Its unit; "1" if it has none.
    definition
        Its formula; may hold the placeholder `REFERENCE`.
    share
        Whether it is a share of a whole, from 0 to 1, which figures and sentences show in per cent.
    nominal
        Whether its values are class numbers, positions or coordinates of the run's own, of which no mean over runs
        exists.
    needs
        What must be recorded for it to be known, in words, if it is not known of every run.
    """

    long_name: str
    units: str
    definition: str
    share: bool = False
    nominal: bool = False
    needs: str = ""


CONSECUTIVE = "weights at consecutive steps, recorded with when=bursts(every(100), length=2)"
"""What must be recorded to know single updates, in words."""


def annotate(result: xr.Dataset, meanings: Mapping[str, Meaning], **attrs: Any) -> xr.Dataset:
    """Describe each variable in its attrs, and the settings in the attrs of the result.

    Variables named `total_<name>` hold the same quantity of the whole network: they share its description and have the
    attr `total`. The settings `reference` and `reference_of` say what `REFERENCE` stands for.
    """
    result = result.assign_attrs(attrs)
    result = result.transpose("step", "parameter", ..., missing_dims="ignore")
    reference = reference_name(attrs)
    for name, variable in result.data_vars.items():
        meaning = meanings[str(name).removeprefix("total_")]
        flags = {"share": meaning.share, "nominal": meaning.nominal, "total": str(name).startswith("total_")}
        variable.attrs = {
            "long_name": meaning.long_name.replace(REFERENCE, reference),
            "units": meaning.units,
            "definition": meaning.definition.replace(REFERENCE, reference),
        } | {flag: True for flag, is_set in flags.items() if is_set}
        if meaning.needs:
            variable.attrs["needs"] = meaning.needs
    return result


def with_default_attrs(result: xr.Dataset, summary: str) -> xr.Dataset:
    """Describe the variables that their stage did not: by their names, and the first sentence of its docstring.

    Parameters
    ----------
    result
        What a stage returned, perhaps one of a user's own.
    summary
        First line of the stage's docstring.
    """
    for name, variable in result.data_vars.items():
        title = str(name).replace("_", " ")
        variable.attrs = {"long_name": title, "units": "1", "definition": summary or title} | variable.attrs
    return result


def reference_name(attrs: Mapping[Any, Any]) -> str:
    """Return what a result measures distances from, in words.

    Parameters
    ----------
    attrs
        Attrs of the result: `reference`, a step, and `reference_of`, "parent" if it is a step of the parent run.

    Examples
    --------
    >>> reference_name({"reference": 0}), reference_name({"reference": 1200, "reference_of": "parent"})
    ('the start', 'the parent at step 1,200')
    """
    step = int(attrs.get("reference", 0))
    end = {0: "start", -1: "end"}.get(step, "")
    if attrs.get("reference_of") == "parent":
        return f"the parent's {end}" if end else f"the parent at step {step:,}"
    return f"the {end}" if end else f"step {step:,}"


def is_from_start(attrs: Mapping[Any, Any]) -> bool:
    """Return whether a result measures distances from the start of the run itself."""
    return attrs.get("reference", 0) == 0 and attrs.get("reference_of") != "parent"


def columns_of(table: xr.DataArray) -> xr.Dataset:
    """Return the columns of a scan as variables, each with how it pools over parameters in its attrs.

    Parameters
    ----------
    table
        What `scan` returns, (parameter, step, column) or (step, column), with a coord `pooling` on `column`.
    """
    columns = table.drop_vars("pooling").to_dataset("column")
    for name, pooling in zip(table["column"].values, table["pooling"].values, strict=True):
        columns[name].attrs["pooling"] = pooling
    return columns


class Sums(SimpleNamespace):
    """Columns by name, as variables with dims but no labels, so that arithmetic does not align them."""

    @classmethod
    def of(cls, table: xr.Dataset) -> Self:
        """Take the columns and coords of a table."""
        return cls(**{str(name): variable for name, variable in table.variables.items()})


def with_totals(
    quantities: Callable[[Sums], dict[str, xr.Variable]], table: xr.Dataset, *, sampled: bool = False
) -> xr.Dataset:
    """Compute quantities of each parameter from sums, and of the whole network under names with `total_`.

    Parameters
    ----------
    quantities
        Computes the quantities from sums of any dims.
    table
        Sums over the entries of each parameter, (parameter, step), or of one, (step).
    sampled
        Whether the sums are over samples of entries. They then count for the whole of their parameter, and a parameter
        that lacks a step has no entries there; otherwise it leaves the total unknown.
    """
    sums = Sums.of(table)
    result = quantities(sums)
    if "parameter" in table.dims:
        totals = quantities(pool(table, sums, sampled=sampled))
        result |= {f"total_{name}": total for name, total in totals.items()}
    return xr.Dataset(result, table.coords)


def pool(table: xr.Dataset, sums: Sums, *, sampled: bool = False) -> Sums:
    """Pool the columns of all parameters into those of the whole network, (step).

    Columns that a kernel pools by their maximum or minimum say so in the attr `pooling`; all others are sums.
    """
    pooled = {name: variable for name, variable in vars(sums).items() if "parameter" not in variable.dims}
    for name in map(str, table.data_vars):
        column = getattr(sums, name)
        if (pooling := table[name].attrs.get("pooling", "sum")) != "sum":
            pooled[name] = getattr(column, pooling)("parameter", skipna=sampled)
        elif sampled:
            pooled[name] = (column * sums.numel / sums.sampled).sum("parameter", min_count=1)
        else:
            pooled[name] = column.sum("parameter", skipna=False)
    return Sums(**pooled)


def share_error(part: xr.Variable, whole: xr.Variable, sums: Sums, *, total: bool = False) -> xr.Variable:
    """Return the standard error of part/whole where both count entries of a simple random sample without replacement.

    It is the linearized variance of a ratio over strata, about the mean of each (Cochran 1977, Sampling Techniques,
    eq. 6.13): each parameter is a stratum, with an error of 0 where all entries are there.

    Parameters
    ----------
    part, whole
        Counts of sampled entries; `part` is a subset of `whole`.
    sums
        Holds `numel` and `sampled`.
    total
        Whether to give the error of the share over all parameters.
    """
    n, scale = sums.sampled, sums.numel / sums.sampled
    over = (lambda x: x.sum("parameter", min_count=1)) if total else (lambda x: x)
    estimate = over(whole * scale)
    share = over(part * scale) / estimate
    squares = part * (1.0 - share) ** 2 + (whole - part) * share**2
    spread = ((squares - (part - share * whole) ** 2 / n) / (n - 1)).clip(min=0.0)
    spread = spread.where((n < sums.numel) | spread.isnull() & whole.isnull(), 0.0 * whole)
    return np.sqrt(over(n * scale**2 * (1.0 - n / sums.numel) * spread)) / estimate


def stride(result: Labeled) -> Labeled:
    """Add the coord `stride`: how many optimizer steps lie between each recorded step and the one before."""
    step = result["step"]
    gap = step.diff("step").reindex(step=step, fill_value=0)
    return result.assign_coords(
        stride=gap.assign_attrs(long_name="optimizer steps since the recorded step before", units="1")
    )


def along(variables: Sequence[xr.Variable], dim: str) -> xr.Variable:
    """Stack variables along a new last dim."""
    sizes = {name: size for variable in variables for name, size in variable.sizes.items()}
    dims = max((variable.dims for variable in variables), key=len)
    shape = {name: sizes[name] for name in dims}
    values = [variable.set_dims(shape).transpose(*dims).data for variable in variables]
    return xr.Variable((*dims, dim), np.stack(values, axis=-1))
