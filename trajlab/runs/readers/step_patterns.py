r"""Patterns of steps: regular expressions such as ``epoch_(\d+)``, which the caller passes or an error suggests."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from trajlab.errors import BadSetting
from trajlab.runs.readers.names import parse

DIGITS = re.compile(r"\d+(?:\.\d+)?")
BEFORE = re.compile(r"(?:[A-Za-z]+)?[^A-Za-z0-9]*$")
"""The word before a number, and what stands between them."""

SPECIAL = re.compile(r"[.^$*+?{}\[\]\\|()]")
MOST = 3
"""Most patterns that an error suggests."""


def compiled(text: str) -> re.Pattern:
    """Compile a pattern that the caller passes.

    Raises
    ------
    BadSetting
        It is not a regular expression with a group.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise BadSetting(f"cannot use the step pattern {text!r}: {error}; correct the regular expression") from error
    if pattern.groups < 1:
        raise BadSetting(
            f"cannot use the step pattern {text!r}: it has no group; put the digits in one, as in 'update(\\d+)'"
        )
    return pattern


def steps_by(pattern: re.Pattern, names: Iterable[str]) -> tuple[dict[str, int], int]:
    """Return the steps of the names that a pattern matches, and the factor that makes them whole.

    Examples
    --------
    >>> steps_by(re.compile("epoch=(.*)"), ["epoch=0.5", "epoch=1.25", "last"])
    ({'epoch=0.5': 50, 'epoch=1.25': 125}, 100)
    """
    values: dict[str, Decimal] = {}
    for name in names:
        match = pattern.search(name)
        value = _decimal(match[1]) if match and match[1] else None
        if value is not None:
            values[name] = value
    places = max((-int(value.normalize().as_tuple().exponent) for value in values.values()), default=0)
    factor = 10 ** max(places, 0)
    return {name: int(value * factor) for name, value in values.items()}, factor


def _decimal(text: str) -> Decimal | None:
    """Return a number written in ASCII that fits into 64 bits; None if it is none."""
    try:
        value = Decimal(text) if text.isascii() else Decimal("NaN")
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value) < 10**15 and value == round(value, 6) else None


def suggested(names: Sequence[str], stems: Mapping[str, str]) -> list[str]:
    r"""Return patterns that would tell the steps of some names apart, those that match most of them first.

    Parameters
    ----------
    names
        Names of the checkpoints.
    stems
        The names without suffix, by name.

    Examples
    --------
    >>> names = ["a_2023_1.pt", "a_2023_2.pt"]
    >>> suggested(names, {name: name.removesuffix(".pt") for name in names})
    ['a_2023_(\\d+)']
    """
    patterns: dict[str, int] = {}
    for name in (*names[:MOST], *names[-MOST:]):
        for match in DIGITS.finditer(stems[name]):
            for pattern in _patterns(stems[name], match):
                steps, _ = steps_by(re.compile(pattern), names)
                if len(steps) == len(set(steps.values())) > min(len(names) - 1, 1) and _one_network(steps, stems):
                    patterns.setdefault(pattern, len(steps))
                    break
    return sorted(patterns, key=lambda pattern: ("." in pattern, -patterns[pattern]))[:MOST]


def _one_network(names: Iterable[str], stems: Mapping[str, str]) -> bool:
    return len({parse(stems[name]).identity for name in names}) == 1


def _patterns(stem: str, match: re.Match) -> list[str]:
    """Return a pattern for a number in a name: by the word before it, or by all that stands before it."""
    before = stem[: match.start()]
    word = BEFORE.search(before)
    digits = r"(\d+\.\d+)" if "." in match[0] else r"(\d+)"
    texts = [word[0] if word else "", before]
    return [(SPECIAL.sub(lambda special: "\\" + special[0], text) or "^") + digits for text in texts]
