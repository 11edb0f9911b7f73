"""Settings of a stage: its keyword-only parameters, from a call or a YAML file."""

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args, get_origin

from trajlab.errors import BadSetting
from trajlab.running.inputs import stage_name
from trajlab.runs.disk.documents import parse_yaml
from trajlab.runs.disk.paths import reaching, reason
from trajlab.runs.disk.remote import read_bytes


def settings_of(function: Callable) -> dict[str, inspect.Parameter]:
    """Return the keyword-only parameters of a stage."""
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


KINDS = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a string"),
    bool: (bool, "true or false"),
}
"""Accepted types of a value by the annotation of the setting, and their names in messages."""

EXPONENT = re.compile(r"[-+]?\d[\d_]*(\.\d*)?[eE][-+]?\d+")
"""Numbers that YAML 1.1 reads as strings."""


def check_settings(function: Callable, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the names and types of a stage's settings, and return them without types of numpy.

    Raises
    ------
    BadSetting
        This is no stage, it lacks such a setting, or a value is not of the setting's type; or it is NaN or Inf, which
        no stage of trajlab has a use for.
    """
    try:
        settings = settings_of(function)
    except (TypeError, ValueError) as error:
        raise BadSetting(f"cannot run {function!r} as a stage: {error}; name a stage or pass a function") from error
    name = stage_name(function)
    unknown = sorted(set(values) - set(settings))
    if unknown:
        raise BadSetting(
            f"{name} has no setting {', '.join(unknown)}; its settings are {', '.join(settings) or 'none'}"
        )
    plain = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in values.items()}
    for key, value in plain.items():
        _check_type(name, key, value, settings[key].annotation)
        if (function.__module__ or "").startswith("trajlab."):
            _check_finite(name, key, value)
    return plain


def _check_type(stage_name: str, setting: str, value: Any, annotation: Any) -> None:
    if get_origin(annotation) is Sequence:
        (item,) = get_args(annotation)
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise BadSetting(f"{stage_name} needs a list for {setting}; found {value!r:.100}, so write [{value}]")
        for element in value:
            _check_type(stage_name, setting, element, item)
    elif annotation in KINDS:
        kind, words = KINDS[annotation]
        if not isinstance(value, kind) or (isinstance(value, bool) and annotation is not bool):
            hint = "; write an exponent as 1.0e-7" if isinstance(value, str) and EXPONENT.fullmatch(value) else ""
            raise BadSetting(f"{stage_name} needs {words} for {setting}; found {value!r:.100}{hint}")


def _check_finite(stage_name: str, setting: str, value: Any) -> None:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if any(isinstance(number, float) and not math.isfinite(number) for number in values):
        raise BadSetting(f"{stage_name} needs a finite number for {setting}; found {value!r}")


def read_settings(file: Path | None, stage_name: str, names: Sequence[str] | dict[str, Any]) -> dict[str, Any]:
    """Read a stage's section of a YAML file; none without a file.

    Parameters
    ----------
    file
        The YAML file: a mapping with the sections of stages, at its top level or under `stages`.
    stage_name
        Name of the stage.
    names
        Names of its settings.

    Raises
    ------
    BadSetting
        The file is no YAML mapping, or the section holds an unknown setting.
    """
    if file is None:
        return {}
    try:
        with reaching(file):
            sections = parse_yaml(read_bytes(file))
    except (OSError, ValueError) as error:
        raise BadSetting(f"cannot read settings from {file}: {reason(error)}; correct the file") from error
    if not isinstance(sections, dict):
        raise BadSetting(
            f"cannot read settings from {file}: it holds a {type(sections).__name__}; write a mapping of sections"
        )
    stages = sections.get("stages")
    section = (stages if isinstance(stages, dict) and stage_name in stages else sections).get(stage_name) or {}
    if not isinstance(section, dict):
        raise BadSetting(
            f"cannot read section {stage_name} of {file}: it is {section!r:.100}; write a mapping of settings"
        )
    unknown = sorted(map(str, set(section) - set(names)))
    if unknown:
        raise BadSetting(
            f"section {stage_name} of {file} sets {', '.join(unknown)}, which {stage_name} does not have; "
            f"use {', '.join(names)}"
        )
    return dict(section)
