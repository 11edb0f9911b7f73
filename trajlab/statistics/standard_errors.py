"""Standard errors and confidence intervals of estimates from a random sample of a parameter's entries.

Of the N entries of a parameter n were recorded, drawn without replacement and evenly from the taps of a convolution.
The total over all entries is estimated by N/n times the total of the recorded ones; the kernels of errors compute the
covariances of such totals. Parameters are strata, so their covariances add up (Cochran 1977, Sampling Techniques,
theorem 5.3). Ratios and roots of totals are linearized: their error is that of the total of their residuals.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.scan.block import Kernel
from trajlab.scan.kernels.transition_errors import COVARIANCES
from trajlab.scan.scan import Tensor, by_name, scan
from trajlab.scan.source import is_sample
from trajlab.statistics.result import Meaning, Sums, columns_of, expansion

NORMAL_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


class Rate(NamedTuple):
    """A rate part/whole of counts of sampled entries, with the covariances of both estimated totals."""

    part: xr.Variable
    whole: xr.Variable
    part_part: xr.Variable
    part_whole: xr.Variable
    whole_whole: xr.Variable


def scan_errors(kernel: Kernel, tensor: Tensor, *, weight: Tensor | None = None) -> list[xr.DataArray]:
    """Return the columns of a kernel of errors; nothing if all entries were recorded, as there are no errors then."""
    return [scan(kernel, tensor, weight=weight)[0]] if any(map(is_sample, by_name(tensor).values())) else []


def with_errors(table: xr.Dataset, errors: Sequence[xr.DataArray], columns: Sequence[str]) -> xr.Dataset:
    """Return a table with the columns of a kernel of errors; these are 0 if all entries were recorded."""
    if errors:
        return table.assign(columns_of(errors[0]).data_vars)
    zero = 0.0 * next(iter(table.data_vars.values())).variable
    return table.assign(dict.fromkeys(columns, zero))


def linear_error(
    covariances: Sums,
    residual: Mapping[str, xr.Variable | float],
    *,
    recorded: xr.Variable | bool = True,
    total: bool = False,
) -> xr.Variable:
    """Return the standard error of the estimated total of a linear combination of variables over all entries.

    It is unknown where a single entry of several was recorded, and so is that of a total with such a parameter.

    Parameters
    ----------
    covariances
        Covariances `a_b` of the estimated totals of the variables of a kernel.
    residual
        Coefficient of each variable, in the order of the kernel.
    recorded
        Which parameters were recorded at a step: the others are no part of a total.
    total
        Whether to return the error of the total over all parameters.
    """
    names = list(residual)
    terms = [
        (1.0 if first == second else 2.0)
        * (residual[first] * residual[second])
        * getattr(covariances, f"{first}_{second}")
        for position, first in enumerate(names)
        for second in names[position:]
    ]
    variance = sum(terms[1:], start=terms[0]).clip(min=0.0)
    variance = variance.where(recorded, 0.0).sum("parameter", skipna=False) if total else variance
    return variance**0.5


def total_error(first: xr.Variable, second: xr.Variable, sums: Sums, *, total: bool = False) -> xr.Variable:
    """Return the standard error of the estimated total of e over all entries; 0 where all were recorded.

    It is unknown where a single entry of several was recorded, and so is that of a total with such a parameter.

    Parameters
    ----------
    first, second
        Σe and Σe² over the recorded entries of each parameter, taken as a simple random sample.
    sums
        Holds `numel` and `sampled`, the entries of each parameter and the recorded ones.
    total
        Whether to return the error of the total over all parameters.
    """
    n, whole = sums.sampled, sums.numel
    spread = ((second - first**2 / n) / (n - 1)).clip(min=0.0).where(n > 1)
    exact = second.where(second.isnull(), 0.0)
    variance = (whole**2 * (1 - n / whole) * spread / n).where(exact.isnull() | (n < whole), exact)
    return np.sqrt(variance.sum("parameter", skipna=False) if total else variance)


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
        Whether to return the error of the share over all parameters.
    """
    scale = expansion(sums)
    over = (lambda x: x.sum("parameter", skipna=False)) if total else (lambda x: x)
    estimate = over(whole * scale)
    share = over(part * scale) / estimate
    squares = part * (1.0 - share) ** 2 + (whole - part) * share**2
    return total_error(part - share * whole, squares, sums, total=total) / estimate


def root_error(error: xr.Variable, root: xr.Variable) -> xr.Variable:
    """Return the standard error of a square root from that of its square; 0 where that is 0."""
    return (error / (2.0 * root)).where(error != 0, 0.0)


def moment_errors(
    sums: Sums, mean: xr.Variable, variance: xr.Variable, *, total: bool = False
) -> tuple[xr.Variable, xr.Variable]:
    """Return the standard errors of mean and variance about a mean, of all parameters together if `total`.

    Parameters
    ----------
    sums
        Columns of the kernels `Moments` and `MomentErrors`, `numel` and `sampled`.
    mean, variance
        The estimates.
    """
    entries = estimated_entries(sums, total=total)
    shift = sums.center.where(sums.count != 0, 0.0) - mean
    about_mean = {"one": shift, "deviation": 1.0}
    about_variance = {"one": shift**2 - variance, "deviation": 2.0 * shift, "square": 1.0}
    recorded = sums.count.notnull()
    of_mean, of_variance = (
        linear_error(sums, residual, recorded=recorded, total=total) / entries
        for residual in (about_mean, about_variance)
    )
    return of_mean, of_variance


def estimated_entries(sums: Sums, *, total: bool = False) -> xr.Variable:
    """Return the estimated number of finite entries of each parameter, or of all together."""
    entries = sums.count * expansion(sums)
    return entries.sum("parameter", min_count=1) if total else entries


def rate_meanings(name: str, meaning: Meaning) -> dict[str, Meaning]:
    """Return the descriptions of the standard error of a rate, and of the bounds of its interval."""
    title = meaning.long_name
    error = (
        "square root of the linearized variance of a ratio, stratified by parameter and tap, sampled without "
        "replacement; 0 if all entries are recorded"
    )
    bound = f"95 % Wilson interval for the variance {name}_se²; equals the rate if all entries are recorded"
    return {
        f"{name}_se": Meaning(f"standard error of the {title}", "1", error),
        f"{name}_low": Meaning(f"lower 95 % bound of the {title}", "1", bound, share=True),
        f"{name}_high": Meaning(f"upper 95 % bound of the {title}", "1", bound, share=True),
    }


def with_rate_errors(
    result: xr.Dataset, counts: Callable[[Sums], dict[str, tuple[xr.Variable, xr.Variable]]], table: xr.Dataset
) -> xr.Dataset:
    """Add the standard errors and intervals of rates to a result, and those of the whole network.

    Parameters
    ----------
    result
        The rates.
    counts
        Returns numerator and denominator of each rate, by name, from the columns of a table.
    table
        Sums over the sampled entries, (parameter, step, …) or (step, …), and the covariances of the estimated totals of
        each numerator and denominator, `<rate>_<covariance>`.
    """
    sums = Sums.of(table)
    for name, parts in counts(sums).items():
        rate = Rate(*parts, *(getattr(sums, f"{name}_{which}") for which in COVARIANCES))
        result = result.assign(rate_errors(name, rate, sums))
        if "parameter" in table.dims:
            totals = rate_errors(name, rate, sums, total=True)
            result = result.assign({f"total_{key}": value for key, value in totals.items()})
    return result


def rate_errors(name: str, rate: Rate, sums: Sums, *, total: bool = False) -> dict[str, xr.Variable]:
    """Return the standard error of a rate, and the bounds of its 95 % confidence interval.

    The interval is Wilson's (1927, JASA 22, 209), so that a rate of 0 or 1 has one, too. Its variance is that of the
    sample, with the finite population correction. The number of entries that it shifts the rate by is that of a simple
    random sample, or if smaller the one that would have the same variance.

    Parameters
    ----------
    name
        Name of the rate.
    rate
        Its counts.
    sums
        Holds `numel` and `sampled`, the entries of each parameter and the recorded ones.
    total
        Whether to return the error of the rate over all parameters.
    """
    scale = expansion(sums)
    whole, part = rate.whole * scale, rate.part * scale
    missing = (scale - 1.0) * xr.ones_like(whole)
    is_sampled = (missing > 0) & whole.notnull()
    if total:
        is_unknown = rate.part_part.isnull() & is_sampled
        missing = missing.where((whole > 0) | is_unknown, 0.0).max("parameter")
        whole, part = (count.sum("parameter", min_count=1) for count in (whole, part))
    share = part / whole
    terms = rate.part_part - 2.0 * share * rate.part_whole + share**2 * rate.whole_whole
    terms = terms.where(is_sampled, 0.0)
    variance = terms.sum("parameter", skipna=False) if total else terms
    variance = (variance.clip(min=0.0) / whole**2).where(share.notnull())
    simple = whole / missing
    spread = share * (1.0 - share)
    entries = np.fmin(simple, spread / variance).where(spread > 0, simple)
    shift = NORMAL_95**2 / entries
    center = (share + shift / 2.0) / (1.0 + shift)
    sampling_variance = variance.where(variance.notnull(), spread / entries)
    half = np.sqrt(NORMAL_95**2 * sampling_variance + shift**2 / 4.0) / (1.0 + shift)
    exact = missing == 0
    return {
        f"{name}_se": np.sqrt(variance),
        f"{name}_low": share.where(exact, (center - half).clip(min=0.0)),
        f"{name}_high": share.where(exact, (center + half).clip(max=1.0)),
    }
