"""Angle between each gradient and the moving average of the gradients."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.between_runs import Across
from trajlab.scan.kernels.term_products import AcrossProducts
from trajlab.scan.scan import Tensor, by_name, scan
from trajlab.statistics.result import Sums, columns_of, pool
from trajlab.statistics.samples import estimated, holds_samples, sampled, term_error, with_products


def angle_to_average(gradient: Tensor, average: Tensor) -> xr.Dataset:
    """Return `angle_average` with its standard error, of each parameter and of the whole network; lazily.

    Parameters
    ----------
    gradient
        Gradients of one parameter, or a mapping of several.
    average
        Their moving averages.
    """
    first = int(min(array["step"].values[0] for array in by_name(gradient).values()))
    tables: dict[str, xr.DataArray] = {"sums": scan(Across(), gradient, other=average, reference=first)[0]}
    if some := sampled(by_name(gradient)):
        several = isinstance(gradient, Mapping)
        others = {name: by_name(average)[name] for name in some} if several else average
        products: Any = scan(AcrossProducts(), some if several else gradient, other=others, reference=first)
        tables["products"] = products[0]
    return as_one_task(partial(_result, names=tuple(tables)), *tables.values())


def _result(*tables: xr.DataArray, names: tuple[str, ...]) -> xr.Dataset:
    by_table = {name: columns_of(table) for name, table in zip(names, tables, strict=True)}
    table = with_products(by_table["sums"], by_table.get("products"))
    quantities = _angle(table, total=False)
    if "parameter" in table.dims:
        quantities |= {f"total_{name}": values for name, values in _angle(table, total=True).items()}
    return xr.Dataset(quantities, table.coords).drop_vars(["sampled"], errors="ignore")


def _angle(table: xr.Dataset, *, total: bool) -> dict[str, xr.Variable]:
    whole = estimated(table)
    sums = pool(whole) if total else Sums.of(whole)
    size = np.sqrt(sums.aa) * np.sqrt(sums.bb)
    cosine = (sums.ab / size).clip(-1.0, 1.0)
    angle = {"angle_average": np.degrees(np.arccos(cosine))}
    if holds_samples(table):
        slopes = {"ab": 1.0 / size, "aa": -cosine / (2.0 * sums.aa), "bb": -cosine / (2.0 * sums.bb)}
        error = term_error(slopes, sums=Sums.of(table), total=total)
        angle["angle_average_se"] = np.degrees((error / np.sqrt(1.0 - cosine**2)).where(error != 0, 0.0))
    return angle
