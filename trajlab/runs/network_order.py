"""Order of the parameters of a network from their names, where a file holds them sorted by name."""

import re
from typing import Any

from trajlab.runs.tensors import natural, number_key

FIRST = (
    "cls_token", "class_embedding", "mask_token", "dist_token", "register_tokens", "embeddings", "embed",
    "embed_tokens", "word_embeddings", "tok_embeddings", "wte", "shared", "token_embedding", "patch_embeddings",
    "patch_embed", "patch_embedding", "projection", "position_embeddings", "pos_embed", "positional_embedding",
    "pos_embedding", "position_embedding", "embed_positions", "wpe", "token_type_embeddings", "stem",
)  # fmt: skip
"""Parts of names that come before all others of the same module, in this order."""

LAST = (
    "norm", "ln_f", "ln_post", "final_layer_norm", "final_layernorm", "layernorm", "pooler", "fc", "head", "heads",
    "fc_out", "embed_out", "lm_head", "output_projection", "score", "classifier", "cls", "qa_outputs",
)  # fmt: skip
"""Parts of names that come after all others of the same module."""

WITHIN = (
    ("encoder",), ("decoder",),
    ("ln_1", "input_layernorm", "layernorm_before", "norm1", "ln1", "attention_norm", "layer_norm1",
     "self_attn_layer_norm"),
    ("attn", "self_attn", "attention", "self_attention", "self", "mixer"),
    ("c_attn", "qkv", "query_key_value", "in_proj_weight"), ("in_proj_bias",),
    ("q_proj", "query", "wq", "q"), ("k_proj", "key", "wk", "k"), ("v_proj", "value", "wv", "v"),
    ("q_norm",), ("k_norm",),
    ("ln_2", "post_attention_layernorm", "layernorm_after", "norm2", "ln2", "ffn_norm", "layer_norm2"),
    ("router", "gate"), ("experts",),
    ("mlp", "feed_forward", "ffn", "block_sparse_moe", "intermediate"),
    ("c_fc", "gate_up_proj", "gate_proj", "fc1", "w1", "linear1", "dense_h_to_4h", "wi", "dense"),
    ("up_proj", "w3"), ("o_proj", "out_proj", "c_proj", "wo", "proj"),
    ("down_proj", "fc2", "w2", "linear2", "dense_4h_to_h", "output"),
    ("LayerNorm",),
)  # fmt: skip
"""Parts of the names of a block, in the order of the pass."""

LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

_RANKS = {
    **{part: (0, rank) for rank, part in enumerate(FIRST)},
    **{part: (2, rank) for rank, parts in enumerate(WITHIN) for part in parts},
    **{part: (4, rank) for rank, part in enumerate(LAST)},
    **{part: (1, rank) for rank, part in enumerate(LEAVES)},
}


def network_order(name: str) -> list[tuple[Any, ...]]:
    """Return a sort key that puts names in the order in which a network defines and calls its modules.

    Embeddings come first and heads last; blocks go by their numbers; within a block norms, attention and MLP follow
    each other as in the usual transformers, ``conv1`` comes before ``bn1``, and weights before biases. Parts of names
    that are not known are in natural order in between.

    Examples
    --------
    >>> names = ["h.10.mlp.c_fc.weight", "h.2.attn.c_attn.weight", "h.2.ln_1.bias", "h.2.ln_1.weight", "ln_f.weight",
    ...          "wpe.weight", "wte.weight"]
    >>> sorted(names, key=network_order)  # doctest: +NORMALIZE_WHITESPACE
    ['wte.weight', 'wpe.weight', 'h.2.ln_1.weight', 'h.2.ln_1.bias', 'h.2.attn.c_attn.weight', 'h.10.mlp.c_fc.weight',
     'ln_f.weight']
    """
    return [_key_of(part) for part in name.split(".")]


def _key_of(part: str) -> tuple[Any, ...]:
    if part in _RANKS:
        return (*_RANKS[part], _NONE, 0, part)
    if re.fullmatch("[0-9]+", part):
        return (3, 0, number_key(part), 0, "")
    if match := re.fullmatch(r"(conv|bn|norm|relu|linear|fc|layer|block|stage|downsample)_?([0-9]+)?", part):
        word = match[1]
        rank = {"conv": 0, "linear": 0, "fc": 0, "bn": 1, "norm": 1, "relu": 2}.get(word)
        if rank is not None:
            return (2, 100, number_key(match[2] or ""), rank, word)
        return (3, 1 if word != "downsample" else 2, number_key(match[2] or ""), 0, word)
    return (3, 0, _NONE, 1, *natural(part))


_NONE = number_key("")
