"""Labels of language models, shifted to the token that each position predicts."""

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.scan.graph import delayed

IGNORED = -100
"""Label that no loss counts, as in torch and transformers."""


def with_next_tokens(probe: xr.Dataset) -> xr.Dataset:
    """Return a probe whose targets are the next tokens, where they are the inputs themselves; lazily.

    Models of transformers take labels that equal the inputs and shift them in their own loss; position t is then
    scored by token t + 1, and the last position by none. Labels below 0, such as −100, are excluded from both.

    Parameters
    ----------
    probe
        Perhaps with `targets`. Others than integers of the shape of integer inputs, (sample, position), are left.
    """
    if "targets" not in probe or "inputs" not in probe:
        return probe
    inputs, targets = probe["inputs"], probe["targets"]
    if inputs.dtype.kind not in "iu" or targets.dtype.kind not in "iu":
        return probe
    if inputs.shape != targets.shape or targets.ndim != 2 or targets.shape[1] < 2:
        return probe
    if not any(isinstance(part.data, da.Array) for part in (inputs, targets)):
        return probe.assign(targets=(targets.dims, next_tokens(inputs.values, targets.values)))
    whole = [part.data.rechunk(-1) if isinstance(part.data, da.Array) else part.data for part in (inputs, targets)]
    shifted = da.from_delayed(delayed(next_tokens)(*whole), targets.shape, np.int64)
    return probe.assign(targets=(targets.dims, shifted))


def next_tokens(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return labels, (sample, position), shifted by one if they are the inputs where they are not ignored.

    >>> next_tokens(np.array([[3, 4, 5]]), np.array([[3, 4, 5]])), next_tokens(np.array([[3, 4]]), np.array([[4, 5]]))
    (array([[   4,    5, -100]]), array([[4, 5]]))
    """
    labels = targets.astype(np.int64)
    counted = labels >= 0
    if not counted.any() or (labels != inputs)[counted].any():
        return labels
    return np.concatenate([labels[:, 1:], np.full((len(labels), 1), IGNORED)], axis=1)
