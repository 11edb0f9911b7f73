import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trajlab.replays.hooks import first_tensor, hooked, tensors_in


class Heads(nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.own = Heads(), nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        return {"a": (self.inner(x), [self.own(x, x, x, need_weights=False)])}


def test_tensors_in__finds_them_in_lists_tuples_and_mappings():
    a, b, c = torch.zeros(1), torch.ones(1), torch.ones(2)
    assert [*tensors_in({"x": [a, (b, None, 3)], "y": {"z": c}})] == [a, b, c]
    assert first_tensor((None, [b])) is b and first_tensor("no tensor") is None


def test_hooked__hears_each_call_with_the_attention_that_is_wanted():
    model, heard = Outer().eval(), []
    x = torch.randn(2, 1, 3, 4)[:, 0]

    def hear(path, module, inputs, tensors, maps):
        heard.append((path, [tuple(tensor.shape) for tensor in tensors], [tuple(one.shape) for one in maps]))

    modules = dict(model.named_modules())
    with hooked({path: modules[path] for path in ("", "inner", "own")}, hear, ("inner", "own")):
        model(x)

    assert heard == [
        ("inner", [(2, 3, 4)], [(2, 3, 3)]),
        ("own", [(2, 3, 4), (2, 2, 3, 3)], []),
        ("", [(2, 3, 4), (2, 3, 4), (2, 2, 3, 3)], []),
    ]


def test_hooked__leaves_no_hook_after_an_error():
    model, heard = nn.Linear(2, 2), []
    with pytest.raises(RuntimeError), hooked({"": model}, lambda *call: heard.append(call)):
        model(torch.zeros(1, 3))
    model(torch.zeros(1, 2))
    assert not heard and not model._forward_hooks and not model._forward_pre_hooks


def test_tensors_in__a_loss_beside_outputs_comes_last():
    loss, logits, state = torch.tensor(1.0), torch.ones(2, 3), torch.zeros(2, 4)
    found = list(tensors_in({"aux_loss": loss, "logits": logits, "states": (state,)}))
    assert [tensor.shape for tensor in found] == [(2, 3), (2, 4), ()]
    assert found[-1] is loss
