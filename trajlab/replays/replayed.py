"""The result of a replay: outputs of layers as lazy arrays, or reduced by observers during the passes."""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.blocks import stream_of
from trajlab.replays.calls import Call
from trajlab.replays.forward import Request
from trajlab.replays.keywords import masks_in
from trajlab.replays.layers import layer_of, select_layers
from trajlab.replays.observe import assembled
from trajlab.replays.observers.observer import Layer, Observable, Observer
from trajlab.replays.observers.outputs import Outputs
from trajlab.replays.padding import padding_attrs, with_padding
from trajlab.replays.routers import chosen_experts, routers_in
from trajlab.replays.tasks import Passes


class Replayed(Observable):
    """Outputs of layers by layer name: lazy arrays, (step, sample, …), which observers can reduce during the pass.

    Attributes
    ----------
    layers
        The layers, in the order of the pass.
    samples
        Samples of the probe.
    unobserved
        Activations of the network that cannot be observed, in words.
    """

    def __init__(
        self, passes: Passes, calls: Sequence[Call], chosen: Sequence[Call], samples: int, sha256: str,
        *, unit_axis: Sequence[str] = (), unobserved: Sequence[str] = (),
    ):  # fmt: skip
        layers = [layer_of(call, calls, unit_axis) for call in chosen]
        more = {"unobserved": "; ".join(unobserved)} if unobserved else {}
        routers = {call.key.name: {"chosen": chosen_experts(calls, call)} for call in routers_in(calls)}
        labeled = [layer._replace(attrs=layer.attrs | more | routers.get(layer.name, {})) for layer in layers]
        self.layers = with_padding(labeled, masks_in(passes.network.keywords))
        self.samples = samples
        self.probe_sha256 = sha256
        self.unobserved = tuple(unobserved)
        self._passes, self._calls, self._chosen, self._unit_axis = passes, calls, tuple(chosen), tuple(unit_axis)
        self.head = stream_of(calls).head
        self._arrays: dict[str, xr.DataArray] | None = None

    def observe(self, observer: Observer) -> dict[str, xr.DataArray]:
        """Return the results of an observer, (step, …) each; lazily.

        All that stages compute together shares one pass a step.

        Raises
        ------
        BadSetting
            The observer differentiates with respect to inputs that are integers, or has a number of each unit of a
            layer whose units are positions with padding.
        """
        keys = tuple(call.key for call in self._chosen)
        integers = [call for call in self._chosen if not call.is_called and not call.dtype.is_floating_point]
        if integers and observer.objective is not None:
            raise BadSetting(
                f"cannot differentiate the {observer.objective.kind} with respect to {integers[0].dtype} inputs; name "
                "the embedding layer instead"
            )
        padded = [layer.name for layer in self.layers if "unit" in (layer.dims[axis] for axis in layer.positions)]
        if padded and observer.by_unit:
            raise BadSetting(
                f"cannot observe the units of {padded[0]}: they are the positions of the probe, and some are padding; "
                "leave it out of the layers, or the mask out of the probe"
            )
        target = self._target(observer)
        request = Request(observer, self.layers, keys, target and (target[0], target[1].key))
        passes = self._passes.asking([target[1].key.path] if target and target[1].is_attention else [])
        graph, results = passes.graph(request)
        outputs = observer.outputs(self.layers, self.samples)
        attrs = {"probe_sha256": self.probe_sha256} | padding_attrs(self.layers)
        return assembled(graph, results, passes.steps, outputs, small=observer.small, attrs=attrs)

    def select(self, patterns: Sequence[str]) -> "Replayed":
        """Return the outputs of other layers of the network, by name or pattern.

        Raises
        ------
        BadSetting
            A pattern fits no module that is called.
        """
        chosen = select_layers(self._calls, patterns)
        return Replayed(self._passes, self._calls, chosen, self.samples, self.probe_sha256)

    def _target(self, observer: Observer) -> tuple[Layer, Call] | None:
        """Return the layer whose units an observer differentiates, and its output; None if it differentiates none."""
        if observer.objective is None or observer.objective.kind != "unit":
            return None
        (call, *_) = select_layers(self._calls, [observer.objective.layer])
        return layer_of(call, self._calls, self._unit_axis)._replace(name=observer.objective.layer), call

    def norms_before(self, name: str) -> list[str]:
        """Return the paths of the normalizations between the module that makes the units of a layer and the layer."""
        position = next(i for i, call in enumerate(self._calls) if call.key.name == name and call in self._chosen)
        call = self._calls[position]
        maker = call.units.maker if call.units is not None else -1
        paths = []
        for between in self._calls[maker + 1 : position] if maker >= 0 else ():
            weight = getattr(between.module, "weight", None)
            if weight is not None and tuple(weight.shape) == (len(self._calls[maker].module.weight),):
                paths.append(between.key.path)
        return paths

    @property
    def tokens(self) -> dict[str, tuple[str, np.ndarray]]:
        """Dim of positions, and which of them hold tokens, (sample, position), by name of each layer with padding."""
        masks = masks_in(self._passes.network.keywords)
        return {
            layer.name: (layer.dims[layer.positions[0]], masks[layer.mask] != 0)
            for layer in self.layers
            if layer.mask and layer.dims[layer.positions[0]] != "unit"
        }

    @property
    def arrays(self) -> dict[str, xr.DataArray]:
        """All outputs by name of the layer; lazy."""
        if self._arrays is None:
            self._arrays = self.observe(Outputs())
        return self._arrays

    def __getitem__(self, name: str) -> xr.DataArray:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.layers)
