"""Routers of mixtures of experts: modules that score the experts for each token."""

from collections.abc import Sequence

from trajlab.replays.calls import Call

ROUTERS = ("gate", "router", "wg")
"""What routers are called beside their experts."""

CLASSIFIER = "classifier"
"""What the linear module of a router is called that returns more than scores."""

EXPERTS = "experts"


def routers_in(calls: Sequence[Call]) -> list[Call]:
    """Return the scores of routers, (position, expert) before the softmax: one of each mixture of experts.

    A router is a module of a name in `ROUTERS`, or of a class that ends in Router, beside or above modules that are
    called `experts`. Of what it returns, the first tensor holds the scores, as transformers' `output_router_logits`
    takes them; a router with a `classifier` has them from this.
    """
    mixtures = {
        call.key.path.split(f".{EXPERTS}")[0] for call in calls if f".{EXPERTS}" in f".{call.key.path}"
    }  # fmt: skip
    scored = [call for call in calls if call.module is not None and not call.key.tensor and len(call.shape) == 2]
    routers = [
        call
        for call in scored
        if call.key.path.rpartition(".")[0] in mixtures
        and (call.key.path.rpartition(".")[2] in ROUTERS or type(call.module).__name__.endswith("Router"))
    ]
    inner = {call.key.path: call for call in scored}
    return [inner.get(f"{call.key.path}.{CLASSIFIER}", call) for call in routers]


def chosen_experts(calls: Sequence[Call], router: Call) -> int:
    """Return how many experts a router chooses for each token, 0 if that is not known.

    A router that returns the chosen experts says so with their number, or by the attribute `top_k`.
    """
    shapes = [call.shape for call in calls if call.key.path == router.key.path and call.key.tensor]
    chosen = [shape[-1] for shape in shapes if len(shape) == 2 and shape[-1] < router.shape[-1]]
    return min(chosen) if chosen else int(getattr(router.module, "top_k", 0) or 0)
