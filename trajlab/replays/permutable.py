"""Whether the hidden units of a network may be permuted: tried on the network itself."""

from collections.abc import Mapping

import torch

from trajlab.replays.alignment import Chain, chain_of, permuted
from trajlab.replays.dtypes import as_input
from trajlab.replays.hooks import first_tensor
from trajlab.replays.model import build, fit
from trajlab.replays.model_facts import lacks_model, lacks_probe
from trajlab.runs.trajectory import Trajectory

SAMPLES = 4
"""Random samples that a network is tried on."""


def chain(trajectory: Trajectory) -> Chain:
    """Return the chain of hidden layers of a run, whose units can be permuted.

    The shapes of its tensors tell. If the run names its network and has a probe, random weights are put through it
    before and after the units of each layer were permuted: where the output differs, something else reads these
    units, such as a branch or a normalization over groups, and there is no chain.
    """
    lives = (trajectory.weights.series, trajectory.buffers.series)
    successive = chain_of(*({name: tuple(life.shape) for name, life in group.items()} for group in lives))
    if successive.reason or lacks_model(trajectory) or lacks_probe(trajectory):
        return successive
    model = build(trajectory, trajectory.model)
    homes = fit(model, trajectory)
    random = torch.Generator().manual_seed(0)
    tensors = model.state_dict()
    recorded = {home: _random(home, tensors[name], random) for name, home in homes.items()}
    shape = trajectory.probe["inputs"].shape[1:]
    inputs = as_input(torch.randn(SAMPLES, *shape, generator=random), [value.dtype for value in tensors.values()])

    def output(state: Mapping[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            given = torch.func.functional_call(model, {name: state[home] for name, home in homes.items()}, inputs)
        successive = first_tensor(given)
        return torch.zeros(()) if successive is None else successive

    expected = output(recorded)
    least = 1e-4 * float(expected.abs().max())
    for layer in successive.hidden:
        turned = [torch.arange(layer.units).roll(1).numpy()]
        alone = Chain((layer,))
        state = {name: torch.tensor(permuted(alone, turned, name, value.numpy())) for name, value in recorded.items()}
        if not torch.allclose(output(state), expected, rtol=1e-3, atol=least):
            return Chain((), f"the output of {type(model).__name__} changes when units of {layer.rows[0]} are permuted")
    return successive


def _random(name: str, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not like.dtype.is_floating_point:
        return torch.zeros_like(like)
    scale = max(like[0].numel(), 1) ** -0.5 if like.ndim > 1 else 1.0
    values = scale * torch.randn(like.shape, generator=generator)
    return (values.abs() + 0.5 if name.endswith("running_var") else values).to(like.dtype)
