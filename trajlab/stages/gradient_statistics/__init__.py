"""Size, direction and variance of gradients."""

from collections.abc import Callable
from functools import partial

import numpy as np
import xarray as xr

from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.angle_errors import ANGLE_ERRORS, AngleErrors
from trajlab.scan.kernels.epochs import EPOCH, Epochs
from trajlab.scan.kernels.gradient_angles import Successive
from trajlab.scan.kernels.moment_errors import MOMENT_ERRORS, MomentErrors
from trajlab.scan.kernels.moments import Moments
from trajlab.scan.scan import Tensor, by_name, scan
from trajlab.stages.gradient_statistics.average_angle import angle_to_average
from trajlab.stages.gradient_statistics.epochs import Calendar, calendar
from trajlab.statistics.averages import averaged
from trajlab.statistics.result import Meaning, Sums, annotate, columns_of, expansion, stride
from trajlab.statistics.shared_steps import totals_over
from trajlab.statistics.standard_errors import (
    estimated_entries,
    linear_error,
    moment_errors,
    root_error,
    scan_errors,
    with_errors,
)

_SE = "linearized, stratified by parameter and tap, sampled without replacement; 0 if all entries are recorded"
MEANINGS = {
    "mean": Meaning("mean gradient", "gradient", "Σg / n over finite entries"),
    "mean_abs": Meaning("mean absolute gradient", "gradient", "Σ|g| / n"),
    "max_abs": Meaning("largest gradient entry", "gradient", "max|g| of the recorded entries, a lower bound of all"),
    "l1": Meaning("L1 norm of the gradient", "gradient", "Σ|g|, samples scaled to the whole tensor"),
    "l2": Meaning("norm of the gradient", "gradient", "sqrt(Σg²), samples scaled to the whole tensor"),
    "variance": Meaning("variance of the gradient's entries", "gradient²", "Σ(g − mean)² / n, ddof 0"),
    "rms": Meaning("root mean square of the gradient", "gradient", "sqrt(Σg² / n)"),
    "zeros": Meaning("gradient entries that are exactly zero", "entries", "count of recorded entries"),
    "nonfinite": Meaning("gradient entries that are NaN or Inf", "entries", "count of recorded entries"),
    "angle_prev": Meaning(
        "angle to the previous gradient",
        "degrees",
        "arccos(g_t·g_prev / (|g_t|₂ |g_prev|₂)) over entries finite in both",
    ),
    "angle_average": Meaning(
        "angle to the moving average of the gradients",
        "degrees",
        "arccos(g_t·m_t / (|g_t|₂ |m_t|₂)) over entries finite in both, m_t the average up to g_t",
    ),
    "epoch_mean": Meaning("mean over the steps of an epoch", "as the quantity", "mean of the finite values"),
    "epoch_mean_se": Meaning(
        "standard error of the mean over an epoch",
        "as the quantity",
        "mean of the standard errors of the steps, an upper bound",
    ),
    "epoch_max": Meaning("maximum over the steps of an epoch", "as the quantity", "maximum of the finite values"),
    "epoch_length": Meaning("steps with a gradient in an epoch", "steps", "count of recorded steps"),
    "variance_over_steps": Meaning(
        "variance of a gradient entry over the steps of an epoch", "gradient²", "mean over entries of var_t(g), ddof 0"
    ),
}
QUANTITIES = ("mean", "mean_abs", "max_abs", "l1", "l2", "variance", "rms", "zeros", "nonfinite", "angle_prev")
ESTIMATES = ("mean", "mean_abs", "l1", "l2", "variance", "rms", "angle_prev", "angle_average", "variance_over_steps")
for _name in ESTIMATES:
    MEANINGS[f"{_name}_se"] = Meaning(f"standard error of the {MEANINGS[_name].long_name}", MEANINGS[_name].units, _SE)


def gradient_statistics(
    gradient: Tensor, metrics: xr.Dataset | None = None, *, steps_per_epoch: int = 0, average: float = 0.0
) -> xr.Dataset:
    """Norms, angles and variance of the gradients, at each step and over epochs.

    Answers: do early layers still get a gradient, does it vanish or explode, and how noisy is it?

    Parameters
    ----------
    gradient
        Gradients of one parameter, dims (step, ...) or (step, sample), or a mapping of several.
    metrics
        Recorded metrics; the metric `epoch` assigns steps to epochs.
    steps_per_epoch
        Optimizer steps of an epoch. With 0, the metric `epoch` defines epochs; without it, all steps form one epoch.
    average
        Decay β of a moving average that takes the place of the gradient, over the recorded steps and corrected for its
        start, as Adam's first moment; 0 for the gradient itself.

    Returns
    -------
    mean, mean_abs, variance, rms : (step, parameter)
        Moments of the entries; variance with ddof 0.
    max_abs : (step, parameter)
        Largest recorded |g|; of a sample, a lower bound of the largest of all.
    l1, l2 : (step, parameter)
        Norms of the whole tensor; samples are scaled to it.
    angle_prev : (step, parameter)
        Angle to the previous recorded gradient, 0 to 180 degrees, accurate to about 1e-6; NaN at the first step.
    angle_average : (step, parameter)
        With `average` only: angle between the gradient and its moving average, which includes it.
    zeros, nonfinite : (step, parameter)
        Recorded entries that are exactly zero, and that are NaN or Inf. All else excludes the latter.
    epoch_mean, epoch_max : (parameter, epoch, quantity)
        Mean and maximum over the steps of an epoch of each of the above, `angle_average` excepted.
    variance_over_steps : (parameter, epoch)
        Variance of an entry over the steps of an epoch at which it is finite, averaged over the entries; 0 in an epoch
        of one recorded step.
    epoch_length : (parameter, epoch)
        Number of steps with a gradient.
    …_se : as the estimate
        Standard errors of estimates from a sample of the entries, with the taps of convolutions as strata; 0 if all
        are recorded.
    total_… : (step) or (epoch)
        The same for the whole network, with samples scaled to their whole tensor; for a mapping of tensors only. A
        tensor without a gradient at a step is no part of it there, and `total_angle_prev` compares each with its own
        gradient before; the attr `totals_over` names such tensors.

    The attr `epochs` names the source of the epochs.

    Notes
    -----
    The standard errors are linearized. Those of `l2`, `rms`, `variance` and `variance_over_steps` rest on fourth
    moments of the sample and are too small where entries are heavy-tailed: with Student's t of 2.5 degrees, 300 of
    3,000 entries, ±1.96 errors cover the truth in about 70 % of samples.

    Raises
    ------
    BadSetting
        `steps_per_epoch` is negative, or `average` is not from 0 to below 1.

    References
    ----------
    The norm is Cockpit's GradNorm (Schneider et al. 2021, arXiv:2102.06604), and that of
    `torch.nn.utils.clip_grad_norm_` for the whole network. Moments are merged as in Pébay 2008, SAND2008-6212; standard
    errors as in Cochran 1977, Sampling Techniques.
    """
    steps = np.unique(np.concatenate([array["step"].values for array in by_name(gradient).values()]))
    epochs = calendar(steps, metrics, steps_per_epoch)
    raw, gradient = gradient, averaged(gradient, average)
    moments, _ = scan(Moments(), gradient)
    angles, _ = scan(Successive(), gradient)
    _, varying = scan(Epochs(tuple(steps[epochs.starts].tolist())), gradient)
    errors = [*scan_errors(MomentErrors(), gradient), *scan_errors(AngleErrors(), gradient)]
    result = as_one_task(partial(_result, epochs=epochs), moments, angles, varying, *errors)
    if average:
        result = result.assign(angle_to_average(raw, gradient).data_vars)
    attrs = {"steps_per_epoch": steps_per_epoch, "average": average, "epochs": epochs.source, "ddof": 0}
    return annotate(result, MEANINGS, **attrs, **totals_over(gradient, at_each_step=True))


def _result(
    moments: xr.DataArray, angles: xr.DataArray, varying: xr.DataArray, *errors: xr.DataArray, epochs: Calendar
) -> xr.Dataset:
    table = columns_of(moments).assign(columns_of(angles).data_vars)
    table = with_errors(with_errors(table, errors[:1], MOMENT_ERRORS), errors[1:], ANGLE_ERRORS)
    at_steps, over_epochs = Sums.of(table), Sums.of(_by_epoch(varying, epochs))
    quantities = _at_steps(at_steps, False) | _over_epochs(over_epochs, False)
    if "parameter" in table.dims:
        totals = _at_steps(at_steps, True) | _over_epochs(over_epochs, True)
        quantities |= {f"total_{name}": total for name, total in totals.items()}
    for total in ("", "total_") if "parameter" in table.dims else ("",):
        for name, reduce, suffix in (("mean", _mean, ""), ("mean_se", _mean, "_se"), ("max", np.fmax.reduceat, "")):
            rows = [
                quantities.get(f"{total}{quantity}{suffix}", 0 * quantities[f"{total}{quantity}"])
                for quantity in QUANTITIES
            ]
            quantities[f"{total}epoch_{name}"] = _reduced(rows, reduce, epochs)
    labels = {"epoch": epochs.numbers, "quantity": np.array(QUANTITIES, dtype=object)}
    return stride(xr.Dataset(quantities, table.coords).assign_coords(labels))


def _by_epoch(varying: xr.DataArray, epochs: Calendar) -> xr.Dataset:
    """Return the columns of the kernel `Epochs` as variables, (…, epoch) each."""
    shape = (*varying.shape[:-1], len(epochs.numbers), len(EPOCH))
    columns = np.moveaxis(varying.values.reshape(shape), -1, 0)
    dims = (*varying.dims[:-1], "epoch")
    return xr.Dataset({name: (dims, column) for name, column in zip(EPOCH, columns, strict=True)}, varying.coords)


def _at_steps(sums: Sums, total: bool) -> dict[str, xr.Variable]:
    def over(part: xr.Variable) -> xr.Variable:
        return part.sum("parameter", min_count=1) if total else part

    count, scale = sums.count, expansion(sums)
    squares = sums.m2 + count * sums.mean**2
    entries = over(count * scale)
    mean = over(count * sums.mean * scale) / entries if total else sums.mean.where(count > 0)
    m2 = sums.m2 + count * (sums.mean - mean).where(count > 0, 0.0) ** 2
    l1, square = over(sums.abs * scale).where(entries > 0), over(squares * scale).where(entries > 0)
    variance = over(m2 * scale) / entries
    largest = np.fmax(abs(sums.min), abs(sums.max))
    quantities = {
        "mean": mean,
        "mean_abs": l1 / entries,
        "max_abs": largest.max("parameter") if total else largest,
        "l1": l1,
        "l2": np.sqrt(square),
        "variance": variance,
        "rms": np.sqrt(square / entries),
        "zeros": over(sums.zeros * scale) if total else sums.zeros,
        "nonfinite": over(sums.nonfinite * scale) if total else sums.nonfinite,
    }
    angle = _angle(sums, over(sums.gq * scale), over(sums.gg * scale), over(sums.qq * scale), total)
    return quantities | _errors(sums, quantities, total) | angle


def _errors(sums: Sums, quantities: dict[str, xr.Variable], total: bool) -> dict[str, xr.Variable]:
    """Return the standard errors of moments and norms."""

    def error(residual: dict[str, xr.Variable | float]) -> xr.Variable:
        return linear_error(sums, residual, recorded=sums.count.notnull(), total=total)

    entries = estimated_entries(sums, total=total)
    about_mean, variance = moment_errors(sums, quantities["mean"], quantities["variance"], total=total)
    center = sums.center.where(sums.count != 0, 0.0)
    square = {"one": center**2, "deviation": 2.0 * center, "square": 1.0}
    mean_square = quantities["rms"] ** 2
    errors = {
        "mean_se": about_mean,
        "mean_abs_se": error({"one": -quantities["mean_abs"], "size": 1.0}) / entries,
        "l1_se": error({"size": 1.0}),
        "l2_se": root_error(error(square), quantities["l2"]),
        "variance_se": variance,
        "rms_se": root_error(error(square | {"one": square["one"] - mean_square}) / entries, quantities["rms"]),
    }
    return {name: values.where(entries > 0) for name, values in errors.items()}


def _angle(sums: Sums, gq: xr.Variable, gg: xr.Variable, qq: xr.Variable, total: bool) -> dict[str, xr.Variable]:
    """Return the angle whose cosine is gq / sqrt(gg·qq), with its standard error."""
    size = np.sqrt(gg) * np.sqrt(qq)
    cosine = (gq / size).clip(-1.0, 1.0)
    residual = {"gq": 1.0 / size, "gg": -cosine / (2.0 * gg), "qq": -cosine / (2.0 * qq)}
    error = linear_error(sums, residual, recorded=sums.gg.notnull(), total=total)
    spread = (error / np.sqrt(1 - cosine**2)).where(error != 0, 0.0).where(cosine.notnull())
    return {"angle_prev": np.degrees(np.arccos(cosine)), "angle_prev_se": np.degrees(spread)}


def _over_epochs(sums: Sums, total: bool) -> dict[str, xr.Variable]:
    is_known = sums.entries > 0
    entries = (sums.entries * expansion(sums)).where(is_known)
    mean, length = sums.mean, sums.steps
    if total:
        mean = (mean * entries).sum("parameter", min_count=1)
        entries = entries.sum("parameter", min_count=1)
        mean, length = mean / entries, length.max("parameter")
    residual = {"one": sums.mean - mean, "deviation": 1.0}
    error = linear_error(sums, residual, recorded=is_known, total=total) / entries
    return {"variance_over_steps": mean, "variance_over_steps_se": error, "epoch_length": length}


def _mean(values: np.ndarray, starts: np.ndarray, axis: int) -> np.ndarray:
    finite = np.isfinite(values)
    return np.add.reduceat(np.where(finite, values, 0.0), starts, axis) / np.add.reduceat(finite, starts, axis)


def _reduced(rows: list[xr.Variable], reduce: Callable[..., np.ndarray], epochs: Calendar) -> xr.Variable:
    dims = max((row.dims for row in rows), key=len)
    values = np.stack([row.transpose(*dims).values for row in rows], -1)
    axis = dims.index("step")
    out = reduce(values, epochs.starts, axis)
    return xr.Variable([*("epoch" if dim == "step" else dim for dim in dims), "quantity"], out)
