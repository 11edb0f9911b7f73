"""The network of a checkpoint of transformers, built from its config.json by transformers' own class."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trajlab.errors import BadSetting, MissingData, UntrustedCode

if TYPE_CHECKING:
    from torch import nn


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
        The configuration asks for code of its own, in `auto_map`.
    MissingData
        transformers is not installed, or has no such class.
    BadSetting
        The class does not take the configuration.
    """
    config, name = dict(facts["config"]), architecture_class(facts)
    if config.get("auto_map"):
        raise UntrustedCode(
            f"cannot build {name} of {source}: its config.json asks for code of its own (auto_map); name a function "
            "that builds the network with --model (model=)"
        )
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
        settings = transformers.AutoConfig.for_model(**config)
        settings.use_cache = False
        return network(settings)
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise BadSetting(
            f"cannot build {name} of {source} from its config.json: {why}; name a function that builds the network "
            "with --model (model=)"
        ) from error


def parameter_shapes(facts: Mapping[str, Any], source: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters of the network that config.json describes, in the order of the network.

    Nothing is allocated. Tied parameters have the first of their names.

    Parameters
    ----------
    facts, source
        As in `build_from_config`, which says what is raised.
    """
    import torch

    with torch.device("meta"):
        network = build_from_config(facts, source)
    return {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
