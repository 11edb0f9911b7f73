"""Regular expressions that the caller passes."""

import re

from trajlab.errors import BadSetting


def compile_pattern(text: str, purpose: str, *, groups: int = 0) -> re.Pattern:
    r"""Compile a regular expression.

    Parameters
    ----------
    text
        The expression.
    purpose
        What it is for, such as "step pattern".
    groups
        How many groups it needs at least.

    Raises
    ------
    BadSetting
        It is none, or has too few groups.
    """
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        fault = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadSetting(f"cannot use the {purpose} {text!r:.200}: {fault}; correct the regular expression") from error
    if pattern.groups < groups:
        raise BadSetting(
            f"cannot use the {purpose} {text!r}: it has no group; put the digits in one, as in 'update(\\d+)'"
        )
    return pattern
