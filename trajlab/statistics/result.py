"""Descriptions of the variables of a result, and totals over the whole network."""

from collections.abc import Mapping, Sequence
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
        Whether its values are class numbers, positions or coordinates of the run's own, which have no mean over runs.
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
        """Return the columns and coords of a table."""
        return cls(**{str(name): variable for name, variable in table.variables.items()})


def expansion(sums: Sums) -> xr.Variable:
    """Return how many entries each recorded one stands for; 1 for tensors of no entry, which then add nothing."""
    return xr.where(sums.sampled > 0, sums.numel / np.maximum(sums.sampled, 1), 1.0)


def pool(table: xr.Dataset, *, skipna: bool = False) -> Sums:
    """Pool the columns of all parameters into those of the whole network, (step).

    Columns that a kernel pools by their maximum or minimum say so in the attr `pooling`; all others are sums.

    Parameters
    ----------
    table
        Columns, (parameter, step, …).
    skipna
        Whether parameters that were not recorded at a step are left out of it; otherwise the whole is unknown there.
    """
    pooled = {}
    for name, column in table.variables.items():
        if "parameter" not in column.dims:
            pooled[str(name)] = column
        elif name in table.data_vars:
            pooling = column.attrs.get("pooling", "sum")
            options = {"min_count": 1} if skipna and pooling == "sum" else {"skipna": skipna}
            pooled[str(name)] = getattr(column, pooling)("parameter", **options)
    return Sums(**pooled)


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
