"""Standard errors of estimates from a random sample of a parameter's entries, drawn without replacement.

Each parameter is a stratum: of its N entries n were recorded. The total over all entries is estimated by N/n times the
total of the recorded ones, with the variance N²·(1 − n/N)·s²/n, where s² is the sample variance with ddof 1 (Cochran
1977, Sampling Techniques, theorems 2.2 and 5.2). Ratios and roots of totals are linearized: their error is that of the
total of their residuals.
"""

import numpy as np
import xarray as xr

from trajlab.statistics.result import Sums


def total_error(first: xr.Variable, second: xr.Variable, sums: Sums, *, total: bool = False) -> xr.Variable:
    """Return the standard error of the estimated total of e over all entries; 0 where all were recorded.

    Parameters
    ----------
    first, second
        Σe and Σe² over the recorded entries of each parameter.
    sums
        Holds `numel` and `sampled`, the entries of each parameter and the recorded ones.
    total
        Whether to give the error of the total over all parameters.
    """
    n, whole = sums.sampled, sums.numel
    spread = ((second - first**2 / n) / (n - 1)).clip(min=0.0)
    exact = second.where(second.isnull(), 0.0)
    variance = (whole**2 * (1 - n / whole) * spread / n).where(exact.isnull() | (n < whole), exact)
    return np.sqrt(variance.sum("parameter", min_count=1) if total else variance)


def root_error(error: xr.Variable, root: xr.Variable) -> xr.Variable:
    """Return the standard error of a square root from that of its square; 0 where that is 0."""
    return (error / (2.0 * root)).where(error != 0, 0.0)
