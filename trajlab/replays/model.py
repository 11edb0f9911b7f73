"""The network of a run: built by its factory, and matched with the recorded tensors."""

import copy
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

import dask.array as da
import torch
from torch import nn

from trajlab.errors import BadSetting, MissingData, TrajlabError, first_of
from trajlab.replays.base_weights import holds_adapters_only, saved_name
from trajlab.replays.factory import named_by_caller, named_by_run
from trajlab.replays.model_facts import factory_of
from trajlab.runs.readers.tensor_names import without_wrappers
from trajlab.runs.tensors import Series
from trajlab.runs.trajectory import Trajectory
from trajlab.runs.transformers_model import architecture_class, build_from_config, names_in_network
from trajlab.statistics.experts import experts_together, named_as_in_networks

Model = nn.Module | Callable[..., nn.Module] | str
"""A network, a function that builds it, or the name of one, "package.module:factory"."""


EXPERTS = "experts"
"""Name of the module that holds the experts of a mixture."""

PARTS = {
    "gate_up_proj": (("gate_proj", "up_proj"), ("w1", "w3")),
    "down_proj": (("down_proj",), ("w2",)),
}
"""For each parameter that holds all experts of a mixture, the parts of single experts that it joins, by convention."""


def build(trajectory: Trajectory, model: Model | None) -> nn.Module:
    """Build the network of a run in eval mode; a network that is given is copied.

    A checkpoint of transformers brings its network: the class of transformers that its config.json names.

    Raises
    ------
    MissingData
        No model is given and the run names none, or its factory can not be imported.
    UntrustedCode
        No model is given, and the run is not trusted to name one, or its config.json asks for code of its own.
    BadSetting
        The factory does not take the arguments or fails, or gives no network.
    """
    if isinstance(model, nn.Module):
        return copy.deepcopy(model).eval()
    factory, arguments = factory_of(trajectory) or ("", {})
    if model is None and not factory and architecture_class(trajectory.facts):
        with torch.random.fork_rng(devices=[]):
            return build_from_config(trajectory.facts, trajectory.source).eval()
    if model is None and not factory:
        raise MissingData(
            f"cannot replay {trajectory.source or 'the run'}: it names no model; pass model= (--model "
            "package.module:factory), or record with describe={'model': {'factory': 'module:function', "
            "'arguments': {…}}}"
        )
    builder = factory if model is None else model
    arguments = arguments if builder == factory else {}
    if model is None:
        function: Callable[..., nn.Module] = named_by_run(trajectory, factory)
    else:
        function = named_by_caller(model) if isinstance(model, str) else model
    with torch.random.fork_rng(devices=[]):
        try:
            built = function(**arguments)
        except TrajlabError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            remedy = (
                "correct its arguments" if arguments else "name a function without arguments that builds the network"
            )
            raise BadSetting(f"cannot call {builder} with {arguments or 'no arguments'}: {why}; {remedy}") from error
    if not isinstance(built, nn.Module):
        raise BadSetting(
            f"cannot replay {builder}: it returned a {type(built).__name__}; name a function that returns a "
            "torch.nn.Module"
        )
    return built.eval()


def usable_device(device: str) -> str:
    """Return a device that torch can use.

    Raises
    ------
    BadSetting
        There is no such device here.
    """
    try:
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:  # torch has no type of its own
        reason = " ".join(str(error).split()).partition(". ")[0][:200].rstrip(".") or type(error).__name__
        count = torch.cuda.device_count()
        available = ", ".join(["cpu", *(f"cuda:{i}" for i in range(count))])
        raise BadSetting(
            f"cannot replay on device {device!r}: {reason}; choose one of {available}, or leave --device (device=) out "
            "for the CPU"
        ) from error
    return device


def recorded_for(model: nn.Module, trajectory: Trajectory) -> dict[str, Series]:
    """Return the recorded tensors by their names in the network; experts recorded one by one are joined.

    transformers saves some networks under other names than they have, and the experts of a mixture one by one. Its
    networks hold them as one parameter, in which the gate and the up projection, w1 and w3, follow each other.
    """
    recorded = trajectory.weights.series | trajectory.buffers.series
    lacking = [name for name in model.state_dict() if name not in recorded]
    renamed = {named_as_in_networks(name): name for name in recorded}
    renamed |= {new: name for name, new in names_in_network(model, recorded).items() if new is not None}
    joined = {name: recorded[renamed[name]] for name in lacking if name in renamed}
    used = {renamed[name] for name in joined}
    fused = [name for name in lacking if f".{EXPERTS}." in name]
    mixtures = experts_together(trajectory.weights) if fused else {}
    for name in fused:
        mixture, _, part = name.partition(f".{EXPERTS}.")
        parts = mixtures.get(mixture, {})
        sources = next((names for names in PARTS.get(part, ()) if set(names) <= set(parts)), ())
        if sources:
            values = da.concatenate([parts[source].data for source in sources], axis=2).rechunk({2: -1})
            joined[name] = Series(parts[sources[0]]["step"].values, values, values.shape[1:])
            used |= {old for new, old in renamed.items() if _is_part(new, f"{mixture}.{EXPERTS}.", sources)}
    return {name: series for name, series in recorded.items() if name not in used} | joined


def _is_part(name: str, prefix: str, parts: Collection[str]) -> bool:
    """Return whether a tensor is one of some parts of a single expert, such as ``mlp.experts.3.w1.weight``."""
    number, _, part = name.removeprefix(prefix).partition(".")
    return name.startswith(prefix) and number.isdigit() and part.removesuffix(".weight") in parts


def fit(model: nn.Module, trajectory: Trajectory, recorded: Mapping[str, Series] | None = None) -> dict[str, str]:
    """Return the recorded tensor that goes to each name in the state of a model.

    Tied weights may be recorded under any of their names. Counters of batches may be missing, as eval mode does not
    read them. In a run of adapters alone, each tensor of the base network maps to itself.

    Raises
    ------
    BadSetting
        The model has names that the run lacks, or vice versa, or tensors of other shapes.
    """
    recorded = recorded_for(model, trajectory) if recorded is None else recorded
    tied = trajectory.facts.get("tied", {})
    state = model.state_dict(keep_vars=True)
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    same = defaultdict(list)
    for name, value in tensors.items():
        same[id(value)].append(name)
    homes, missing, adapters_only = {}, [], holds_adapters_only(trajectory)
    for name, value in tensors.items():
        saved = saved_name(name) if adapters_only else name
        candidates = (saved, tied.get(name), *same[id(value)], without_wrappers(name))
        stored = [candidate for candidate in candidates if candidate in recorded]
        if stored:
            homes[name] = stored[0]
        elif adapters_only and saved == name:
            homes[name] = name
        elif not name.endswith("num_batches_tracked"):
            missing.append(name)
    unexpected = [name for name in recorded if name not in tensors and name not in homes.values()]
    shapes = [
        f"{name} {list(tensors[name].shape)} recorded as {list(recorded[home].shape)}"
        for name, home in homes.items()
        if home in recorded and tuple(tensors[name].shape) != tuple(recorded[home].shape)
    ]
    kinds = {"missing in the run": missing, "not in the model": unexpected, "of another shape": shapes}
    mismatches = ", ".join(f"{len(names)} {kind} ({first_of(names, 4)})" for kind, names in kinds.items() if names)
    if mismatches:
        raise BadSetting(
            f"cannot load the weights of {trajectory.source or 'the run'} into {type(model).__name__}: {mismatches}; "
            "pass model= (--model) the network that was trained, built with the same arguments"
        )
    return homes
