"""Routers of mixtures of experts: modules that score the experts for each token."""

from collections.abc import Sequence

from trajlab.replays.calls import Call

ROUTERS = ("gate", "router", "wg")
"""Names of routers beside their experts."""

CLASSIFIER = "classifier"
"""Name of the linear module in a router that returns more than scores."""

EXPERTS = "experts"
"""Name of the module that holds the experts of a mixture."""


def routers_in(calls: Sequence[Call]) -> list[Call]:
    """Return the scores of routers, (position, expert) before the softmax: one of each mixture of experts.

    A router is a module beside `experts` whose name is in `ROUTERS`, or whose class ends in Router. Its first output
    holds the scores, as transformers' `output_router_logits` takes them; those of a router with a `classifier` are the
    classifier's output.
    """
    mixtures = {
        ".".join(names[: names.index(EXPERTS)])
        for names in (call.key.path.split(".") for call in calls)
        if EXPERTS in names
    }
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
    """Return how many experts a router chooses for each token; 0 if that is unknown.

    It is the number of experts in an output of the router, else its attribute `top_k`.
    """
    shapes = [call.shape for call in calls if call.key.path == router.key.path and call.key.tensor]
    chosen = [shape[-1] for shape in shapes if len(shape) == 2 and shape[-1] < router.shape[-1]]
    return min(chosen) if chosen else int(getattr(router.module, "top_k", 0) or 0)
