"""Filter of runs by their names, facts and end values."""

import operator
import re
import shlex
from collections.abc import Callable

import numpy as np
import pandas as pd

from trajlab.explorer.quantity import text_of
from trajlab.explorer.rows import matches

CONDITION = re.compile(r"(.+?)(>=|<=|!=|=|>|<)(.*)")

COMPARISONS: dict[str, Callable] = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def filtered(table: pd.DataFrame, text: str) -> tuple[list[str], list[str]]:
    """Return the runs that meet all conditions, and the conditions that cannot be read.

    Parameters
    ----------
    table
        Facts and end values, runs by name.
    text
        Conditions, separated by spaces: a pattern of the run's name, or a column, one of ``= != < <= > >=``, and a
        value; ``=`` takes a pattern, too. Names with spaces are quoted, as in ``"loss, last<0.1"``. A run without the
        value meets no condition on it but ``!=``.

    Examples
    --------
    >>> table = pd.DataFrame({"lr": [0.1, 1.0], "optimizer": ["adam", "sgd"]}, ["a", "b"])
    >>> filtered(table, "lr<0.5 optimizer=ad*"), filtered(table, "b"), filtered(table, "width>1")
    ((['a'], []), (['b'], []), (['a', 'b'], ['width>1']))
    """
    try:
        conditions = shlex.split(text)
    except ValueError:  # a quote that is not closed yet
        conditions = text.replace('"', " ").replace("'", " ").split()
    kept, unreadable = np.ones(len(table), bool), []
    for condition in conditions:
        meets = _meets(table, condition)
        if meets is None:
            unreadable.append(condition)
        else:
            kept &= meets
    return [str(name) for name in table.index[kept]], unreadable


def _meets(table: pd.DataFrame, condition: str) -> np.ndarray | None:
    """Return which runs meet a condition; None if it cannot be read."""
    parts = CONDITION.fullmatch(condition)
    if parts is None:
        return np.array([matches(str(name), condition) for name in table.index], bool)
    column, sign, value = parts[1].strip(), parts[2], parts[3].strip()
    if column not in table.columns or not value:
        return None
    if sign in COMPARISONS:
        try:
            return COMPARISONS[sign](pd.to_numeric(table[column], errors="coerce").to_numpy(float), float(value))
        except ValueError:
            return None
    same = np.array([_is_same(entry, value) for entry in table[column]], bool)
    return same if sign == "=" else ~same


def _is_same(entry: object, value: str) -> bool:
    text = text_of(entry)
    try:
        return float(text) == float(value)
    except ValueError:
        return matches(text, value) if set("*?[") & set(value) else text.lower() == value.lower()
