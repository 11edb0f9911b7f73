import torch
from torch import nn

from trajlab.replays.routers import chosen_experts, routers_in
from trajlab.replays.trace import trial


class Router(nn.Module):
    """Returns what it chose first, as that of Switch transformers, and has its scores from a classifier."""

    def __init__(self):
        super().__init__()
        self.classifier, self.top_k = nn.Linear(3, 4), 1

    def forward(self, values):
        scores = self.classifier(values)
        return scores.argmax(-1, keepdim=True), scores


class Mixture(nn.Module):
    def __init__(self, router):
        super().__init__()
        self.router = router
        self.experts = nn.ModuleList([nn.Linear(3, 3) for _ in range(4)])
        self.gate_proj = nn.Linear(3, 3)

    def forward(self, values):
        self.router(values)
        return sum(expert(values) for expert in self.experts) + self.gate_proj(values)


def test_routers_in__linear_modules_and_classifiers_beside_experts():
    values = torch.zeros(5, 2, 3)
    for router, name, chosen in ((nn.Linear(3, 4), "0.router", 0), (Router(), "0.router.classifier", 0)):
        calls = trial(nn.Sequential(Mixture(router)), values).calls
        (call,) = routers_in(calls)
        assert call.key.name == name and chosen_experts(calls, call) == chosen


def test_chosen_experts__the_number_that_a_router_returns():
    class TopTwo(nn.Linear):
        def forward(self, values):
            scores = super().forward(values)
            return scores, *scores.topk(2)

    calls = trial(nn.Sequential(Mixture(TopTwo(3, 4))), torch.zeros(5, 2, 3)).calls
    (call,) = routers_in(calls)
    assert chosen_experts(calls, call) == 2


def test_routers_in__a_network_that_is_itself_a_mixture():
    (call,) = routers_in(trial(Mixture(nn.Linear(3, 4)), torch.zeros(5, 2, 3)).calls)
    assert call.key.name == "router"


def test_routers_in__networks_without_experts_have_none():
    assert routers_in(trial(nn.Sequential(nn.Linear(3, 4)), torch.zeros(5, 2, 3)).calls) == []
