"""Gradients with respect to inputs, maps of a layer, and adversarial inputs of some samples at some steps."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.observers.grad_cam import GradCam, has_maps
from trajlab.replays.observers.observer import INPUT, Layer, Objective
from trajlab.replays.observers.output_gradients import OutputGradients
from trajlab.stages.attribution.ascent import fgsm, inputs_by_step, random_signs
from trajlab.statistics.scores import score_table, task_of
from trajlab.statistics.tasks import TASKS, Task

INPUT_DIMS = {0: (), 1: ("feature",), 2: ("y", "x"), 3: ("channel", "y", "x"), 4: ("channel", "z", "y", "x")}
"""Names of the axes of an input, by their number."""


class Request(NamedTuple):
    """Samples of the probe, and steps, at which attributions are computed.

    Parameters
    ----------
    replay
        Runs the snapshots on inputs.
    probe, part
        The whole probe, and the samples of it.
    at
        Optimizer steps.
    dims
        Dims of an input.
    layer
        Layer of maps and units.
    task
        What the loss is, one of `trajlab.statistics.tasks.TASKS`.
    """

    replay: Callable[..., Any]
    probe: xr.Dataset
    part: xr.Dataset
    at: np.ndarray
    dims: tuple[str, ...]
    layer: Layer
    task: str = ""

    def output(self, name: str, inputs: xr.Dataset) -> dict[str, xr.DataArray]:
        """Return the outputs of the network, (step, sample, …)."""
        return {name: self.replay(layers=[""], probe=inputs)[""].sel(step=self.at)}

    def gradient(self, objective: Objective) -> dict[str, xr.DataArray]:
        """Return the gradient with respect to the samples; of tokens, its norm with respect to their embedding."""
        inputs = self.part["inputs"]
        if inputs.dtype.kind == "f":
            return {"input_gradient": xr.DataArray(self._by_inputs(objective, self.part), dims=self._dims)}
        layers = self.replay(of="modules", probe=self.part).layers
        tables = [
            layer
            for layer in layers
            if layer.attrs["module_class"] == "Embedding" and layer.shape[:-1] == inputs.shape[1:]
        ]
        if not tables:
            return {}
        name = tables[0].name
        slope = self.replay(layers=[name], probe=self.part).observe(OutputGradients(objective))[name].sel(step=self.at)
        norm = np.sqrt((slope.astype(np.float64) ** 2).sum(slope.dims[-1], skipna=False))
        return {"token_gradient": xr.DataArray(norm.data, dims=self._dims)}

    def grad_cam(self, objective: Objective) -> dict[str, xr.DataArray]:
        """Return Grad-CAM of each sample, if the layer has maps."""
        if not has_maps(self.layer):
            return {}
        cam = self.replay(layers=[self.layer.name], probe=self.part).observe(GradCam(objective))[self.layer.name]
        cam = cam.sel(step=self.at)
        return {"grad_cam": cam.rename({dim: f"map_{dim}" for dim in self.layer.dims[1:]})}

    def activation_map(self, units: Sequence[int], sample: int, samples: int) -> dict[str, xr.DataArray]:
        """Return the maps of units for a sample; none for a layer with a single number a unit."""
        if not 0 <= sample < samples:
            raise BadSetting(f"cannot show map_sample={sample}: {samples} samples are shown; choose 0 to {samples - 1}")
        if self.layer.dims == ("unit",):
            return {}
        maps = self.replay(layers=[self.layer.name], probe=self.part)[self.layer.name].sel(step=self.at)
        maps = maps.isel(sample=sample, unit=list(units)).transpose("step", "unit", ...)
        return {"activation_map": maps.rename({dim: f"map_{dim}" for dim in self.layer.dims if dim != "unit"})}

    def attack(self, epsilon: float) -> dict[str, xr.DataArray]:
        """Return the adversarial samples."""
        adversarial = fgsm(self.part["inputs"].data, self._by_inputs(Objective(task=self.task), self.part), epsilon)
        return {"adversarial": xr.DataArray(adversarial, dims=self._dims)}

    def attacks(self, epsilons: Sequence[float], seed: int) -> dict[tuple[str, float], xr.DataArray]:
        """Return scores of the whole probe, (step, column), under attack and under noise, by kind and size."""
        inputs, slope = self.probe["inputs"], self._by_inputs(Objective(task=self.task), None)
        signs = random_signs(inputs.data, seed)[None]
        scores = {}
        for epsilon in epsilons:
            attacked = inputs_by_step(fgsm(inputs.data, slope, epsilon), self.at)
            noisy = xr.Dataset({"inputs": (inputs.dims, fgsm(inputs.data, signs, epsilon)[0])})
            for kind, perturbed in (("adversarial", attacked), ("noise", noisy)):
                output = self.replay(layers=[""], probe=perturbed)[""].sel(step=self.at)
                scores[kind, epsilon] = score_table(output, self.probe, self.task)
        return scores

    def _by_inputs(self, objective: Objective, probe: xr.Dataset | None) -> Any:
        """Return the gradient with respect to the inputs of a probe, or of that of the run, (step, *its shape)."""
        replayed = self.replay(layers=[INPUT]) if probe is None else self.replay(layers=[INPUT], probe=probe)
        if replayed.layers[0].attrs["module_class"]:
            raise BadSetting(
                f"cannot differentiate with respect to the inputs: a module has their name, {INPUT!r}; rename it"
            )
        slope = replayed.observe(OutputGradients(objective))[INPUT].sel(step=self.at)
        return slope.data.reshape(len(self.at), *(self.probe if probe is None else probe)["inputs"].shape)

    @property
    def _dims(self) -> tuple[str, ...]:
        return ("step", "sample", *self.dims)


def layer_at(replay: Callable[..., Any], name: str) -> Layer:
    """Return the layer of a name, or the default: the last convolution, else the last module with units."""
    if name:
        matches = replay(layers=[name]).layers
        layers = [layer for layer in matches if layer.name == name] or list(matches)
        if len(layers) > 1:
            raise BadSetting(
                f"cannot choose one layer: {name!r} matches {', '.join(layer.name for layer in layers)}; name one"
            )
        return layers[0]
    if convolutions := replay(of="convolutions").layers:
        return convolutions[-1]
    units = replay(of="units").layers or replay(layers=[""]).layers[:1]
    return units[-2:][0]


def units_of(layer: Layer, units: Sequence[int], max_units: int) -> list[int]:
    """Return the units that are named, or else the first ones."""
    if any(not 0 <= unit < layer.units for unit in units) or max_units < 1:
        raise BadSetting(
            f"cannot show units={list(units)} with max_units={max_units}: {layer.name or 'the output'} has units 0 to "
            f"{layer.units - 1}; choose among these, and max_units ≥ 1"
        )
    return list(dict.fromkeys(map(int, units))) or list(range(min(max_units, layer.units)))


def task_asked(probe: xr.Dataset, output: xr.DataArray, objective: str) -> Task | None:
    """Return what the outputs are trained for, None without targets.

    Raises
    ------
    BadSetting
        The targets fit the outputs in no way or not as asked, or are no labels where the objective is about one.
    """
    if "targets" not in probe:
        return None
    is_loss = objective == "loss" or objective in TASKS
    task = task_of(output, probe, objective if objective in TASKS else "")
    if not task.has_labels and not is_loss:
        raise BadSetting(
            f"cannot differentiate the {objective}: the targets are values or several labels, not one label a sample; "
            "choose the loss"
        )
    return task


def input_dims(inputs: xr.DataArray, layer: Layer) -> tuple[str, ...]:
    """Return the names of the axes of an input."""
    axes = inputs.ndim - 1
    if inputs.dtype.kind != "f" and axes == 1:
        return ("position",)
    if axes == 2 and layer.dims == ("unit", "x"):
        return ("channel", "x")
    return INPUT_DIMS.get(axes, ("channel", *(f"axis_{axis}" for axis in range(axes - 1))))
