"""How a network is asked about samples: gradients by the inputs, maps of a layer, and inputs moved against it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.observers.grad_cam import GradCam, has_maps
from trajlab.replays.observers.observer import INPUT, Layer, Objective
from trajlab.replays.observers.output_gradients import OutputGradients
from trajlab.stages.attribution.ascent import against, own_inputs, random_signs
from trajlab.statistics.scores import score_table, task_of

INPUT_DIMS = {0: (), 1: ("feature",), 2: ("y", "x"), 3: ("channel", "y", "x"), 4: ("channel", "z", "y", "x")}
"""Names of the axes of an input, by their number."""


class Attack(NamedTuple):
    """Which inputs a table of scores is of.

    Parameters
    ----------
    kind
        ``adversarial``: inputs moved against the network; ``noise``: inputs moved as far in random directions.
    epsilon
        How far each value is moved.
    """

    kind: str
    epsilon: float


class Look(NamedTuple):
    """What is looked at: samples of the probe, at some steps, as the dims of an input and a layer show them."""

    replay: Callable[..., Any]
    probe: xr.Dataset
    part: xr.Dataset
    at: np.ndarray
    dims: tuple[str, ...]
    place: Layer

    def output(self, name: str, inputs: xr.Dataset) -> dict[str, xr.DataArray]:
        """Give what the network says of inputs, (step, sample, …)."""
        return {name: self.replay(layers=[""], probe=inputs)[""].sel(step=self.at)}

    def gradient(self, objective: Objective) -> dict[str, xr.DataArray]:
        """Give the gradient by the samples, or where these are tokens, its norm by their embedding."""
        inputs = self.part["inputs"]
        if inputs.dtype.kind == "f":
            return {"input_gradient": xr.DataArray(self._by_inputs(objective, self.part), dims=self._dims)}
        layers = self.replay(of="modules", probe=self.part).layers
        tables = [
            one for one in layers if one.attrs["module_class"] == "Embedding" and one.shape[:-1] == inputs.shape[1:]
        ]
        if not tables:
            return {}
        name = tables[0].name
        slope = self.replay(layers=[name], probe=self.part).observe(OutputGradients(objective))[name].sel(step=self.at)
        norm = np.sqrt((slope.astype(np.float64) ** 2).sum(slope.dims[-1], skipna=False))
        return {"token_gradient": xr.DataArray(norm.data, dims=self._dims)}

    def grad_cam(self, objective: Objective) -> dict[str, xr.DataArray]:
        """Give the map of each sample, if the layer is one of maps."""
        if not has_maps(self.place):
            return {}
        cam = self.replay(layers=[self.place.name], probe=self.part).observe(GradCam(objective))[self.place.name]
        cam = cam.sel(step=self.at)
        return {"grad_cam": cam.rename({dim: f"map_{dim}" for dim in self.place.dims[1:]})}

    def activation_map(self, units: Sequence[int], sample: int, samples: int) -> dict[str, xr.DataArray]:
        """Give the maps of units for a sample; of a layer with a single number for each unit there are none."""
        if not 0 <= sample < samples:
            raise BadSetting(f"map_sample={sample} was asked for; {samples} samples are shown. Change the setting.")
        if self.place.dims == ("unit",):
            return {}
        maps = self.replay(layers=[self.place.name], probe=self.part)[self.place.name].sel(step=self.at)
        maps = maps.isel(sample=sample, unit=list(units)).transpose("step", "unit", ...)
        return {"activation_map": maps.rename({dim: f"map_{dim}" for dim in self.place.dims if dim != "unit"})}

    def attack(self, epsilon: float) -> dict[str, xr.DataArray]:
        """Give the adversarial samples."""
        moved = against(self.part["inputs"].data, self._by_inputs(Objective(), self.part), epsilon)
        return {"adversarial": xr.DataArray(moved, dims=self._dims)}

    def attacks(self, epsilons: Sequence[float], seed: int) -> dict[Attack, xr.DataArray]:
        """Return the scores of the whole probe under attack, and with random signs, (step, column)."""
        inputs, slope = self.probe["inputs"], self._by_inputs(Objective(), None)
        blind = random_signs(inputs.data, seed)[None]
        found = {}
        for epsilon in epsilons:
            moved = own_inputs(against(inputs.data, slope, epsilon), self.at)
            noisy = xr.Dataset({"inputs": (inputs.dims, against(inputs.data, blind, epsilon)[0])})
            for kind, tried in (("adversarial", moved), ("noise", noisy)):
                output = self.replay(layers=[""], probe=tried)[""].sel(step=self.at)
                found[Attack(kind, epsilon)] = score_table(output, self.probe)
        return found

    def _by_inputs(self, objective: Objective, probe: xr.Dataset | None) -> Any:
        """Give the gradient by the inputs of a probe, or of that of the run, (step, *its shape)."""
        replayed = self.replay(layers=[INPUT]) if probe is None else self.replay(layers=[INPUT], probe=probe)
        if replayed.layers[0].attrs["module_class"]:
            raise BadSetting(
                f"gradients by the inputs were asked for; a module is named {INPUT!r}, as the inputs are. Rename it."
            )
        slope = replayed.observe(OutputGradients(objective))[INPUT].sel(step=self.at)
        return slope.data.reshape(len(self.at), *(self.probe if probe is None else probe)["inputs"].shape)

    @property
    def _dims(self) -> tuple[str, ...]:
        return ("step", "sample", *self.dims)


def layer_at(replay: Callable[..., Any], name: str) -> Layer:
    """Find the layer that is looked at."""
    if name:
        found = replay(layers=[name]).layers
        exact = [one for one in found if one.name == name] or list(found)
        if len(exact) > 1:
            raise BadSetting(
                f"one layer was asked for; {name!r} fits {', '.join(one.name for one in exact)}. Choose one of these."
            )
        return exact[0]
    if convolutions := replay(of="convolutions").layers:
        return convolutions[-1]
    units = replay(of="units").layers or replay(layers=[""]).layers[:1]
    return units[-2:][0]


def units_of(layer: Layer, units: Sequence[int], most: int) -> list[int]:
    """Give the units that are asked for, else the first."""
    if any(not 0 <= unit < layer.units for unit in units) or most < 1:
        raise BadSetting(
            f"units={list(units)} and at most {most} were asked for; {layer.name or 'the output'} has {layer.units}, "
            "from 0 on. Change the setting."
        )
    return list(dict.fromkeys(map(int, units))) or list(range(min(most, layer.units)))


def has_labels(probe: xr.Dataset, output: xr.DataArray, objective: str) -> bool:
    """Tell whether the targets are labels; those that are something else must fit the outputs."""
    if "targets" not in probe:
        return False
    labels = bool(task_of(output, probe).classes)
    if not labels and objective != "loss":
        raise BadSetting(
            f"the gradient of the {objective} was asked for; the targets are values and no labels. Choose the loss."
        )
    return labels


def input_dims(inputs: xr.DataArray, layer: Layer) -> tuple[str, ...]:
    """Name the axes of an input."""
    axes = inputs.ndim - 1
    if inputs.dtype.kind != "f" and axes == 1:
        return ("position",)
    if axes == 2 and layer.dims == ("unit", "x"):
        return ("channel", "x")
    return INPUT_DIMS.get(axes, ("channel", *(f"axis_{axis}" for axis in range(axes - 1))))
