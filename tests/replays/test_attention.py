import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trajlab.replays.attention import Attention, attention_of, request_attention, returns_attention


def parts(queries=4, keys=5, heads=2, key_heads=2):
    torch.manual_seed(0)
    return torch.randn(3, heads, queries, 6), torch.randn(3, key_heads, keys, 6), torch.randn(3, key_heads, keys, 7)


MASK = torch.tensor([[1, 1, 0, 0, 1]] * 4).bool()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scale": 0.3},
        {"attn_mask": MASK},
        {"attn_mask": torch.linspace(-3, 3, 20).reshape(4, 5)},
        {"is_causal": True},
        {"enable_gqa": True},
    ],
    ids=lambda settings: ",".join(settings),
)
def test_attention_of__times_the_values_is_what_torch_gives(settings):
    gqa = settings.get("enable_gqa", False)
    query, key, value = parts(keys=4 if "is_causal" in settings else 5, heads=4 if gqa else 2)
    weights = attention_of(query, key, value, **settings)
    seen = value.repeat_interleave(2, 1) if gqa else value
    expected = F.scaled_dot_product_attention(query, key, value, **settings)
    torch.testing.assert_close(weights @ seen, expected)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_attention_of__by_hand():
    """Scores ln 3 and 0: weights 3/4 and 1/4."""
    query, key = torch.tensor([[[1.0]]]), torch.tensor([[[math.log(3)], [0.0]]])
    torch.testing.assert_close(attention_of(query, key, key), torch.tensor([[[0.75, 0.25]]]))


def test_attention__is_written_down_for_the_innermost_module_and_changes_no_result():
    query, key, value = parts()
    watch = Attention()
    with watch:
        F.scaled_dot_product_attention(query, key, value)  # of no module that is watched
        watch.stack += ["block", "block.attention"]
        result = F.scaled_dot_product_attention(query, key, value)
        inner = watch.left("block.attention")
        assert watch.left("block") == []
    torch.testing.assert_close(result, F.scaled_dot_product_attention(query, key, value), rtol=0, atol=0)
    (maps,) = inner
    torch.testing.assert_close(maps, attention_of(query, key, value))
    assert watch.stack == []


def test_request_attention__is_that_of_each_head():
    module = nn.MultiheadAttention(6, 2, batch_first=True).eval()
    assert returns_attention(module) and not returns_attention(nn.Linear(2, 2))
    x = torch.randn(3, 4, 6)
    with module.register_forward_pre_hook(request_attention, with_kwargs=True):
        _, weights = module(x, x, x, need_weights=False)
    assert weights.shape == (3, 2, 4, 4)
    torch.testing.assert_close(weights.mean(1), module(x, x, x)[1])
