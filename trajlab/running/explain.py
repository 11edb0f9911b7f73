"""What was unusual before a step, in the order in which it began."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.running.likely_cause import likely_cause
from trajlab.running.run import run
from trajlab.runs.trajectory import Trajectory
from trajlab.statistics.unusual import Unusual, place_words, quantity_words, unusual_before, verb_words
from trajlab.statistics.wording import count, listed

NAMED = 3
"""Places that a sentence names."""

LOOK_BACK, RECORDED = 50, 10
"""Default window: this number of optimizer steps or of recorded steps, whichever reaches further back."""


class Explanation(NamedTuple):
    """What was unusual in the window before a step.

    Attributes
    ----------
    step
        The step.
    first
        First step of the window.
    events
        What was unusual, in the order in which it began.
    sentences
        The same in words, with what usually means it at the end; a single sentence if nothing was unusual.
    """

    step: int
    first: int
    events: list[Unusual]
    sentences: list[str]

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def __repr__(self) -> str:  # what a notebook shows
        return str(self)


def explain(trajectory: Trajectory, step: int, *, window: int | None = None, **settings: Any) -> Explanation:
    """Say what was unusual in the window before a step, in the order in which it began.

    Every weight norm, update, gradient norm and metric is compared with its own past, as the stage `change_points`
    does.

    Parameters
    ----------
    trajectory
        The run.
    step
        The step; what begins at it counts, too.
    window
        Number of optimizer steps to look back; by default 50, or ten recorded steps if these span more.
    settings
        Settings of `change_points`.

    Raises
    ------
    MissingData
        The step is beyond what was recorded, or nothing was recorded.
    BadSetting
        The window is empty, or there is no such setting.

    Examples
    --------
    >>> import numpy as np, trajlab
    >>> loss = 1 + 0.01 * np.random.default_rng(0).standard_normal(100)
    >>> loss[80] = 5.0
    >>> print(trajlab.explain(trajlab.from_arrays({}, metrics={"loss": loss}), 85).sentences[0])
    Step 80: `loss` rose 5-fold for a moment.
    """
    if window is not None and window < 1:
        raise BadSetting(f"cannot explain with window={window}: choose 1 or more steps")
    result = run("change_points", trajectory, **settings).compute()
    return explained(result, step, window=window)


def explained(result: xr.Dataset, step: int, *, window: int | None = None) -> Explanation:
    """Explain a step of one run from its result of `change_points`; see `explain`.

    Parameters
    ----------
    result
        The result, computed.
    step, window
        As in `explain`.

    Raises
    ------
    MissingData
        The step is beyond what was recorded.
    """
    steps = result["step"].values
    if not steps.size or not steps[0] <= step <= steps[-1]:
        recorded = f"steps {steps[0]:,} to {steps[-1]:,} are" if steps.size else "no step is"
        raise MissingData(f"cannot explain step {step:,}: {recorded} recorded; choose one of these")
    if window is None:
        earliest = int(steps[max(0, int(np.searchsorted(steps, step)) - RECORDED)])
        window = max(LOOK_BACK, step - earliest)
    first = max(int(steps[0]), step - window)
    events = unusual_before(result, step, first=first)
    if not events and not bool(result["changes"].notnull().any()):
        few = int(result["value"].notnull().sum("step").max()) if result.sizes["series"] else 0
        text = f"Nothing can be said of steps {first:,} to {step:,}: no series has more than {count(few, 'value')}."
        return Explanation(step, first, [], [text])
    if not events:
        return Explanation(step, first, [], [f"Nothing was unusual from step {first:,} to step {step:,}."])
    sentences = [_sentence(group) for group in _grouped(events)]
    return Explanation(
        step, first, events, [*sentences, likely_cause(events, set(map(str, result["quantity_of"].values)))]
    )


def _grouped(events: list[Unusual]) -> list[list[Unusual]]:
    """Group events of one quantity, kind and direction that begin at the same step, in the order of their first."""
    groups: dict[tuple, list[Unusual]] = {}
    for event in events:
        groups.setdefault((event.step, event.quantity, event.kind, event.score > 0), []).append(event)
    return list(groups.values())


def _sentence(group: list[Unusual]) -> str:
    lead, others = group[0], group[1:]
    text = f"Step {lead.step:,}: {quantity_words(lead)} {verb_words(lead)}"
    if others:
        names = listed([place_words(event) for event in others[:NAMED]])
        text += f"; so did that of {names if len(others) <= NAMED else count(len(others), 'other')}"
    return f"{text}."


def as_dataset(events: list[Unusual]) -> xr.Dataset:
    """Return events as a Dataset, (event) each."""
    columns = {name: np.array([getattr(event, name) for event in events]) for name in Unusual._fields}
    return xr.Dataset({name: ("event", values) for name, values in columns.items()})
