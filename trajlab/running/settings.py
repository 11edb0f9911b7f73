"""Settings of a stage: its keyword-only parameters, and values that fit them."""

import inspect
import re
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, get_args, get_origin

from trajlab.errors import BadSetting


def settings_of(function: Callable) -> dict[str, inspect.Parameter]:
    """Give the keyword-only parameters of a stage."""
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


KINDS = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a text"),
    bool: (bool, "true or false"),
}
"""What a setting of a type may be, and how to ask for it."""

EXPONENT = re.compile(r"[-+]?\d[\d_]*(\.\d*)?[eE][-+]?\d+")
"""Numbers that YAML 1.1 takes for text."""


def check_setting(stage_name: str, setting: str, value: Any, annotation: Any) -> None:
    """Refuse a value that is not of the setting's type; settings from files and people are not to be trusted."""
    if get_origin(annotation) is Sequence:
        (each,) = get_args(annotation)
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise BadSetting(
                f"{stage_name} needs a list for {setting}; it is {value!r}. Give each as {KINDS[each][1]}."
            )
        for one in value:
            check_setting(stage_name, setting, one, each)
    elif annotation in KINDS:
        kind, words = KINDS[annotation]
        if not isinstance(value, kind) or (isinstance(value, bool) and annotation is not bool):
            hint = "Write an exponent as 1.0e-7. " if isinstance(value, str) and EXPONENT.fullmatch(value) else ""
            raise BadSetting(f"{stage_name} needs {words} for {setting}; it is {value!r}. {hint}Correct the setting.")
