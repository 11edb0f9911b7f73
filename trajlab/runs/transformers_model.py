"""The network of a checkpoint of transformers, built from its config.json by transformers' own class."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from trajlab.errors import BadSetting, MissingData, UntrustedCode

if TYPE_CHECKING:
    from torch import nn

MOST_LAYERS = 10_000
"""Layers, blocks or experts beyond which a network is not built."""

OTHER_MODELS = ("backbone", "use_pretrained_backbone", "use_timm_backbone")
"""Entries by which a configuration asks for another model, which transformers would download."""

OWN_KERNELS = ("eager", "sdpa")
"""Implementations of attention and experts that PyTorch brings; transformers downloads and runs others."""

_ONE_AT_A_TIME = Lock()


def architecture_class(facts: Mapping[str, Any]) -> str:
    """Return the class of transformers that config.json names, such as LlamaForCausalLM; empty if it names none."""
    names = (facts.get("config") or {}).get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def build_from_config(facts: Mapping[str, Any], source: str) -> "nn.Module":
    """Build the network that config.json describes, with random weights and without a cache of keys and values.

    Only classes of the package transformers itself are called; nothing is downloaded, and no code of the folder runs.

    Parameters
    ----------
    facts
        What made the run, with the `config`.
    source
        Path of the run, for errors.

    Raises
    ------
    UntrustedCode
        The configuration asks for code of its own, in `auto_map`, or for another model, which would be downloaded.
    MissingData
        transformers is not installed or has no such class, or the network is larger than the memory.
    BadSetting
        The class does not take the configuration.
    """
    name = architecture_class(facts)
    config = _checked(facts["config"], f"cannot build {name} of {source}")
    try:
        import transformers
    except ImportError as error:
        raise MissingData(
            f"cannot build {name} of {source}: transformers is not installed; install it, or name a function that "
            "builds the network with --model (model=)"
        ) from error
    network = getattr(transformers, name, None)
    if not (isinstance(network, type) and issubclass(network, transformers.PreTrainedModel)):
        raise MissingData(
            f"cannot build {name} of {source}: transformers {transformers.__version__} has no model of this name; name "
            "a function that builds the network with --model (model=)"
        )
    try:
        with _offline():
            settings = transformers.AutoConfig.for_model(**config)
            settings.use_cache = False
            _check_memory(network, settings, f"cannot build {name} of {source}")
            return network(settings)
    except MissingData:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise BadSetting(
            f"cannot build {name} of {source} from its config.json: {why}; name a function that builds the network "
            "with --model (model=)"
        ) from error


def _checked(config: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return a configuration without the names of foreign kernels; raise if it asks for code, models or too much."""
    checked: dict[str, Any] = {}
    for key, value in config.items():
        if key == "auto_map" and value:
            raise UntrustedCode(
                f"{what}: its config.json asks for code of its own (auto_map); name a function that builds the network "
                "with --model (model=)"
            )
        if key in OTHER_MODELS and value:
            raise UntrustedCode(
                f"{what}: its config.json asks for another model ({key}), which is never downloaded; name a function "
                "that builds the network with --model (model=)"
            )
        counts = any(word in key for word in ("layer", "block", "expert", "depth"))
        if counts and isinstance(value, int | float) and value > MOST_LAYERS and "drop" not in key:
            raise BadSetting(
                f"{what}: its config.json states {value:,} {key}, more than {MOST_LAYERS:,}; name a function that "
                "builds the network with --model (model=)"
            )
        if key.strip("_").removesuffix("_internal") in ("attn_implementation", "experts_implementation"):
            if value in OWN_KERNELS:
                checked[key] = value
        else:
            checked[key] = _checked(value, what) if isinstance(value, Mapping) else value
    return checked


def _check_memory(network: Any, settings: Any, what: str) -> None:
    """Raise MissingData if the parameters of a network take more than the memory of this machine."""
    import torch

    if torch.get_default_device().type == "meta":  # nothing is allocated
        return
    try:
        with torch.device("meta"):
            size = sum(parameter.nbytes for parameter in network(settings).parameters())
    except Exception:  # the network cannot be built without values
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise MissingData(
            f"{what}: its parameters take {size:,} bytes, and this machine has {memory:,} of memory; name a smaller "
            "network with --model (model=)"
        )


@contextmanager
def _offline() -> Iterator[None]:
    """Keep the client of Hugging Face's hub from sending requests."""
    from huggingface_hub import constants

    with _ONE_AT_A_TIME:
        before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


def names_in_network(network: "nn.Module", names: Iterable[str]) -> dict[str, str | None]:
    """Return what the network calls the tensors of a checkpoint; None for those that it holds converted.

    transformers renames tensors as it saves and loads, and joins some, such as the experts of a mixture. Its own rules
    say which; before version 5 it had none, and names are the same.

    Parameters
    ----------
    network
        A network, of transformers or not.
    names
        Names in the checkpoint. Those that the network has itself stay.
    """
    kept: dict[str, str | None] = {name: name for name in names}
    try:
        from transformers import PreTrainedModel
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming
    except ImportError:
        return kept
    if not isinstance(network, PreTrainedModel):
        return kept
    own = set(network.state_dict(keep_vars=True))
    rules = get_model_conversion_mapping(network)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if not isinstance(rule, WeightRenaming)]
    for name in [name for name in kept if name not in own]:
        new = name
        for renaming in renamings:
            new, _ = renaming.rename_source_key(new)
        if any(converter.rename_source_key(new)[1] is not None for converter in converters):
            kept[name] = None
        elif new in own:
            kept[name] = new
    return kept


class NetworkShapes(NamedTuple):
    """Shapes of the parameters of a network, in its order.

    Attributes
    ----------
    shapes
        By name; where the checkpoint has another name, by that.
    converted
        Names of the checkpoint that the network holds converted, as others.
    """

    shapes: dict[str, tuple[int, ...]]
    converted: set[str]


def parameter_shapes(facts: Mapping[str, Any], source: str, names: Iterable[str]) -> NetworkShapes:
    """Return the shapes of the parameters of the network that config.json describes, in the order of the network.

    Nothing is allocated. Tied parameters have the first of their names.

    Parameters
    ----------
    facts, source
        As in `build_from_config`, which says what is raised.
    names
        Names of the checkpoint.
    """
    import torch

    with torch.device("meta"):
        network = build_from_config(facts, source)
    new_of = names_in_network(network, names)
    stored = {new: name for name, new in new_of.items() if new is not None}
    shapes = {stored.get(name, name): tuple(value.shape) for name, value in network.named_parameters()}
    return NetworkShapes(shapes, {name for name, new in new_of.items() if new is None})
