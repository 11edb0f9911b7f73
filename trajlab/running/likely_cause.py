"""What usually means a sequence of unusual events."""

from collections.abc import Collection, Iterable

from trajlab.statistics.unusual import Unusual
from trajlab.statistics.wording import listed

RATES = ("lr", "learning_rate", "learning rate")
"""Names of metrics that hold the learning rate."""

FIRST = 2
"""Steps within which events count as the beginning."""

MOST = 0.5
"""Share of the parameters that changed at all from which on a change is of the network, not of a layer."""

VANISHED = 1e-2
"""Factor to which a gradient has fallen that is as good as gone."""


def likely_cause(events: list[Unusual], recorded: Collection[str]) -> str:
    """Return a sentence on what usually means this, judged by what came first.

    Parameters
    ----------
    events
        At least one, in the order in which they began.
    recorded
        Quantities that the run recorded: what was not recorded may have been unusual before.
    """
    start = [event for event in events if event.step <= events[0].step + FIRST - 1]
    lead = events[0]
    rates = [event for event in start if event.quantity == "metric" and event.place.lower() in RATES]
    if lead.kind == "nonfinite":
        return f"{_where(lead)} was NaN or Inf first: usually an overflow in half precision, or a division by zero."
    if rates:
        return "The learning rate itself changed first."
    if lead.quantity in ("update", "weight norm"):
        return _weights_first(start, events, "gradient norm" in recorded)
    vanished = _places(event for event in start if _is_gone(event))
    if vanished:
        return (
            f"{_names(vanished)} no longer got a gradient, before any weight moved unusually: usually dead units, or a "
            "part of the network that was cut off."
        )
    return _signals_first(start, events)


def _weights_first(start: list[Unusual], events: list[Unusual], has_gradients: bool) -> str:
    lead = start[0]
    before = ", before any gradient or loss was unusual" if has_gradients else ""
    moved = _places(event for event in start if event.step == lead.step and event.quantity in ("update", "weight norm"))
    every = _places(event for event in events if event.quantity != "metric")
    gone = _places(event for event in start if _is_gone(event))
    if gone:
        return (
            f"{_names(moved)} moved first, and {_names(gone)} then got no gradient: usually units that died of this "
            "update."
        )
    if len(moved) > 1 and len(moved) >= MOST * len(every):
        return f"Most layers moved at once{before}: usually the learning rate, the schedule or the optimizer's state."
    return (
        f"Only {_names(moved)} moved{before}: usually a learning rate of its own, its "
        "optimizer's state, or weights that were overwritten."
    )


def _signals_first(start: list[Unusual], events: list[Unusual]) -> str:
    gradients = _places(event for event in start if event.quantity == "gradient norm")
    losses = [event for event in start if event.quantity == "metric"]
    moved = [event for event in events if event.quantity in ("update", "weight norm")]
    when = ", before any weight moved unusually" if moved else "; no weight moved unusually"
    if losses and all(event.kind == "spike" for event in losses):
        return f"The loss or another metric was unusual for a moment{when}: usually a single bad batch."
    if losses:
        return f"The loss or another metric changed for good{when}: usually other data or labels from this step on."
    return (
        f"The gradient of {_names(gradients)} was unusual first{when}: usually an odd batch, or an instability there."
    )


def _is_gone(event: Unusual) -> bool:
    return event.quantity == "gradient norm" and event.place != "network" and event.after <= VANISHED * event.before


def _places(events: Iterable[Unusual]) -> list[str]:
    return list(dict.fromkeys(event.place for event in events if event.place != "network"))


def _names(places: list[str]) -> str:
    if not places:
        return "the whole network"
    return listed([f"`{place}`" for place in places[:3]]) if len(places) <= 3 else f"{len(places)} tensors"


def _where(event: Unusual) -> str:
    return f"`{event.place}`" if event.quantity == "metric" else f"The {event.quantity} of `{event.place}`"
