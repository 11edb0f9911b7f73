"""What all views show: one selection, which the address of the page holds, too."""

import json
from typing import Any
from urllib.parse import parse_qs, urlencode

import param

from trajlab.explorer.reduction import MEAN, WAYS
from trajlab.explorer.rows import MODES, MODULES
from trajlab.runs.disk.documents import parse_json

OVERVIEW, LAYER, MOMENTS, RUNS = "Overview", "Layer", "Two moments", "Runs"
BEFORE, SAMPLES = "Before a step", "Samples"
VIEWS = (OVERVIEW, LAYER, MOMENTS, RUNS, BEFORE, SAMPLES)

STEPS = (-(2**63), 2**63 - 1)
"""Smallest and largest number of a step."""

CHANGES = "change_points"
"""Result that the view of what was before a step is made from."""


class Selection(param.Parameterized):
    """Runs, quantity, parameter, steps and view that are shown."""

    view = param.Selector(default=OVERVIEW, objects=list(VIEWS), doc="View that is open.")
    result = param.String(doc="Name of the result that the variable is of.")
    variable = param.String(doc="Variable that is shown.")
    at = param.Dict(default={}, doc="Label of each other dim of the variable, as text.")
    run = param.String(doc="Run of the heat map.")
    runs = param.List(default=[], item_type=str, doc="Runs of the lines; all if empty.")
    row = param.String(doc="Parameter, layer or module.")
    step = param.Integer(default=None, bounds=STEPS, allow_None=True, doc="Step that is looked at.")
    run_before = param.String(doc="Run that is compared with, of two moments; the same run if empty.")
    before = param.Integer(default=None, bounds=STEPS, allow_None=True, doc="Step that it is compared with.")
    window = param.Tuple(default=None, length=2, allow_None=True, doc="First and last step that are shown.")
    find = param.String(doc="Pattern of the names of rows.")
    mode = param.Selector(default=MODULES, objects=list(MODES), doc="Order of the rows.")
    opened = param.List(default=[], item_type=str, doc="Unfolded modules.")
    way = param.Selector(default=MEAN, objects=list(WAYS), doc="What a cell shows of several steps or parameters.")
    metric = param.String(doc="Metric that is shown.")
    fact = param.String(doc="Fact on the x axis of the runs.")
    outcome = param.String(doc="Number on the y axis of the runs.")
    color = param.String(doc="Fact that colors the runs.")
    back = param.Integer(
        default=None,
        bounds=(1, STEPS[1]),
        allow_None=True,
        doc="Optimizer steps to look back; None for the default.",
    )
    only = param.String(doc="Filter of the runs that are compared.")


FIELDS = tuple(name for name in Selection.param if name != "name")


def to_query(selection: Selection) -> str:
    """Write what differs from the defaults as the query of a URL, without a question mark.

    Examples
    --------
    >>> to_query(Selection(step=5, runs=["a", "b"], window=(0, 10)))
    'runs=%5B%22a%22%2C+%22b%22%5D&step=5&window=%5B0%2C+10%5D'
    """
    values = {}
    for name in FIELDS:
        value = getattr(selection, name)
        if value != selection.param[name].default:
            values[name] = value if isinstance(value, str) else json.dumps(value)
    return urlencode(values)


def from_query(query: str) -> tuple[dict[str, Any], list[str]]:
    """Read the values that a query holds, the defaults included; and name what cannot be read.

    Parameters
    ----------
    query
        The query, with or without its question mark.

    Returns
    -------
    The values of all fields, and the fields whose values were replaced by their defaults.

    Examples
    --------
    >>> values, unreadable = from_query("?step=5&window=[9]")
    >>> values["step"], values["window"], unreadable
    (5, None, ['window'])
    """
    pairs = parse_qs(query.lstrip("?"), keep_blank_values=True)
    scratch, values, unreadable = Selection(), {}, []
    for name in FIELDS:
        default = scratch.param[name].default
        values[name] = (
            list(default) if isinstance(default, list) else dict(default) if isinstance(default, dict) else default
        )
        if name not in pairs:
            continue
        text = pairs[name][-1]
        try:
            is_text = isinstance(scratch.param[name], param.String | param.Selector)
            value: Any = text if is_text else parse_json(text)
            value = tuple(value) if name == "window" else value
            if name == "window" and not all(isinstance(step, int) and STEPS[0] <= step <= STEPS[1] for step in value):
                raise ValueError
            if name == "at":
                value = {str(dim): str(label) for dim, label in value.items()}
            setattr(scratch, name, value)
        except (ValueError, TypeError, AttributeError):
            unreadable.append(name)
        else:
            values[name] = value
    return values, unreadable
