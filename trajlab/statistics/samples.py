"""Sums over whole tensors, estimated from a sample of their entries, and the errors of what follows from them."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from trajlab.scan.kernels.term_products import product_name
from trajlab.scan.source import is_sample
from trajlab.statistics.result import Sums, expansion, pool
from trajlab.statistics.standard_errors import total_error

SAMPLED = "linearized, for entries sampled without replacement; 0 if all entries are recorded"
"""Definition of a standard error."""


def sampled(tensors: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Return the tensors that hold only a sample of their entries."""
    return {name: array for name, array in tensors.items() if is_sample(array)}


def estimated(table: xr.Dataset) -> xr.Dataset:
    """Scale sums over the recorded entries of each parameter to all its entries.

    Parameters
    ----------
    table
        Columns of a scan; those that are no sums have the attr `pooling`.
    """
    scale = expansion(Sums.of(table))
    sums = {name: column for name, column in table.items() if column.attrs.get("pooling", "sum") == "sum"}
    return table.assign({name: (column * scale).assign_attrs(column.attrs) for name, column in sums.items()})


def estimated_counts(counts: xr.DataArray) -> xr.DataArray:
    """Scale counts of recorded entries, with the coords of a scan, to all entries of their parameters."""
    return counts * expansion(Sums.of(counts.coords.to_dataset()))


def with_totals(
    quantities: Callable[[Sums], dict[str, xr.Variable]], table: xr.Dataset, *, skipna: bool = False
) -> xr.Dataset:
    """Compute quantities of each parameter, and of the whole network under names with `total_`.

    Parameters
    ----------
    quantities
        Computes the quantities from sums of any dims.
    table
        Sums over the recorded entries of each parameter, (parameter, step), or of one, (step). A sample counts for the
        whole of its parameter in totals.
    skipna
        Whether parameters that were not recorded at a step are left out of its total, which is otherwise unknown.
    """
    result = quantities(Sums.of(table))
    if "parameter" in table.dims:
        totals = quantities(pool(estimated(table), skipna=skipna))
        result |= {f"total_{name}": total for name, total in totals.items()}
    return xr.Dataset(result, table.coords)


def with_products(table: xr.Dataset, products: xr.Dataset | None) -> xr.Dataset:
    """Add products of terms to sums; those of parameters that are recorded in full are 0, as their errors are.

    Parameters
    ----------
    table
        Sums of all parameters.
    products
        Products of the terms of those that are sampled; None if none is.
    """
    if products is None:
        return table
    if "parameter" in table.dims:
        products = products.reindex(parameter=table["parameter"], fill_value=0.0).reindex(step=table["step"])
    return table.assign({name: (column.dims, column.values) for name, column in products.data_vars.items()})


def term_error(coefficients: Mapping[str, xr.Variable | float], sums: Sums, *, total: bool) -> xr.Variable:
    """Return the standard error of the estimated total of Σ c·term over all entries.

    Parameters
    ----------
    coefficients
        c by the name of the term.
    sums
        The sums of the terms over the recorded entries, the sums of their products, `numel` and `sampled`.
    total
        Whether the total is that of all parameters.
    """
    values = vars(sums)
    first = sum((c * values[term] for term, c in coefficients.items()), start=0.0)
    second = sum(
        (
            c * d * values[product_name(first_term, second_term)]
            for first_term, c in coefficients.items()
            for second_term, d in coefficients.items()
        ),
        start=0.0,
    )
    return total_error(xr.as_variable(first), xr.as_variable(second), sums, total=total)


def holds_samples(table: xr.Dataset) -> bool:
    """Return whether only a sample of the entries of some parameter was recorded."""
    return bool(np.any(table["numel"].values != table["sampled"].values))
