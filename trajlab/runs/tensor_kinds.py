"""What a parameter is, and which of its axes run over units: from its module, config.json, or known names."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

CONV1D_TYPES = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer")
"""Architectures of transformers whose linear modules are its Conv1D, with weights (in, out)."""

CONV1D_NAMES = ("c_attn", "c_proj", "c_fc", "q_attn")
"""Names of these modules."""

EMBEDDINGS = (
    "wte", "wpe", "embed_tokens", "embed_positions", "word_embeddings", "position_embeddings", "token_embedding",
    "position_embedding", "token_type_embeddings", "tok_embeddings", "embed_in", "embed_out_tokens", "shared",
    "relative_attention_bias", "embedding", "embeddings", "embed", "emb",
)  # fmt: skip
"""Last parts of the paths of embeddings; with a matrix as their weight."""

POSITIONS = (
    "pos_embed", "pos_embedding", "position_embedding", "position_embeddings", "positional_embedding", "cls_token",
    "class_token", "class_embedding", "dist_token", "distillation_token", "mask_token", "register_tokens", "reg_token",
)  # fmt: skip
"""Names of parameters that are added to, or put before, the tokens of a sequence: no module's weight."""

SPATIAL = {0: (), 1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}
"""Names of the axes of a kernel behind those of units and inputs, by their number."""

TRANSPOSED = ("llama4", "gpt_oss")
"""Architectures whose experts have weights (expert, in, out)."""


class Layout(NamedTuple):
    """What a parameter is.

    Parameters
    ----------
    kind
        bias, conv, linear, norm, embedding or other.
    dims
        Names of its axes; empty for those that its shape alone tells: (out, in, y, x).
    """

    kind: str
    dims: tuple[str, ...] = ()

    @property
    def unit_axes(self) -> tuple[int, ...]:
        """Axes over units: outputs, each expert's apart; rows of an embedding. Without names of dims, the first."""
        return tuple(i for i, dim in enumerate(self.dims) if dim in ("expert", "out", "token")) or (0,)


def layout_of(name: str, shapes: Mapping[str, tuple[int, ...]], module_class: str = "", model_type: str = "") -> Layout:
    """Return what a parameter is.

    Parameters
    ----------
    name
        Its name.
    shapes
        Shapes of all parameters by name.
    module_class
        Class of the module that made it; empty if unknown.
    model_type
        Architecture, as config.json of transformers names it; empty if unknown.

    Examples
    --------
    >>> shapes = {"h.0.mlp.c_fc.weight": (8, 32), "h.0.mlp.c_fc.bias": (32,), "wte.weight": (50, 8)}
    >>> layout_of("h.0.mlp.c_fc.weight", shapes), layout_of("wte.weight", shapes)
    (Layout(kind='linear', dims=('in', 'out')), Layout(kind='embedding', dims=('token', 'feature')))
    """
    shape, leaf = shapes[name], name.rpartition(".")[2]
    if leaf.startswith("bias") or leaf.endswith("_bias"):
        return Layout("bias", ("expert", "out") if is_of_experts(name) and len(shape) == 2 else ())
    if leaf in POSITIONS:
        return Layout("embedding", ("token", "feature") if len(shape) == 2 else _numbered(shape))
    if len(shape) == 3 and (is_of_experts(name) or "Experts" in module_class):
        swapped = _has_bias_along_last(name, shapes) or (not _has_bias(name, shapes) and model_type in TRANSPOSED)
        return Layout("linear", ("expert", "in", "out") if swapped else ("expert", "out", "in"))
    if module_class:
        return _of_class(module_class, name, shape)
    last = name.split(".")[-2] if "." in name else ""
    if len(shape) == 2:
        if last in EMBEDDINGS:
            return Layout("embedding", ("token", "feature"))
        return Layout("linear", ("in", "out") if _is_conv1d(name, last, shapes, model_type) else ())
    return Layout({0: "other", 1: "norm"}.get(len(shape), "conv"))


def is_of_experts(name: str) -> bool:
    """Return whether a parameter holds all experts of a mixture.

    >>> is_of_experts("mlp.experts.gate_up_proj"), is_of_experts("experts.3.weight")
    (True, False)
    """
    return bool(re.search(r"(^|\.)experts\.(?!\d+\.)", name))


def _of_class(module_class: str, name: str, shape: tuple[int, ...]) -> Layout:
    if module_class == "Conv1D":
        return Layout("linear", ("in", "out") if len(shape) == 2 else ())
    if "ConvTranspose" in module_class and 2 < len(shape) < 6:
        return Layout("conv", ("in", "out", *SPATIAL[len(shape) - 2]))
    for word, kind in (("Norm", "norm"), ("Embedding", "embedding"), ("Conv", "conv"), ("Linear", "linear")):
        if word in module_class and (kind != "embedding" or len(shape) == 2):
            return Layout(kind, ("token", "feature") if kind == "embedding" else ())
    return Layout({0: "other", 1: "norm", 2: "linear"}.get(len(shape), "conv"))


def _numbered(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Name the axes of a parameter of tokens; the last one is over features."""
    return (*(f"dim_{i}" for i in range(len(shape) - 2)), "token", "feature")[-len(shape) :]


def _is_conv1d(name: str, last: str, shapes: Mapping[str, tuple[int, ...]], model_type: str) -> bool:
    """Return whether a matrix is (in, out).

    Its architecture says so, or its bias has the length of its last axis, or that of another matrix of its name or of
    a c_attn.
    """
    if last not in CONV1D_NAMES:
        return _has_bias_along_last(name, shapes)
    if model_type:
        return model_type in CONV1D_TYPES
    named = (other for other in shapes if other.split(".")[-2:-1] in ([last], ["c_attn"]))
    return any(_has_bias_along_last(other, shapes) for other in named)


def _has_bias(name: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return _bias_of(name) in shapes


def _bias_of(name: str) -> str:
    module, _, leaf = name.rpartition(".")
    return f"{module}.bias" if leaf == "weight" else f"{name}_bias"


def _has_bias_along_last(name: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether the bias of the same module has an entry for each index of the last axis, not of that before."""
    shape, bias = shapes[name], shapes.get(_bias_of(name), ())
    return len(shape) > 1 and bool(bias) and shape[-1] != shape[-2] and bias[-1] == shape[-1]


def architecture_of(facts: Mapping[str, Any]) -> str:
    """Return the architecture that config.json of transformers names; empty if unknown."""
    return str((facts.get("config") or {}).get("model_type", ""))
