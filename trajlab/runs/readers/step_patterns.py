r"""Patterns of steps: regular expressions such as ``epoch_(\d+)``, which the caller passes or an error suggests."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from trajlab.runs.readers.name_words import MEASURE, UNITS, role_of
from trajlab.runs.readers.names import SCALES, parse

DIGITS = re.compile(r"\d+(?:\.\d+)?(?:[eE][-+]?\d+(?![A-Za-z0-9])|[kKMB](?![A-Za-z0-9]))?")
WORD_BEFORE = re.compile(r"[A-Za-z]+[^A-Za-z0-9]*$")
"""The word before a number, and what stands between them."""

SPECIAL = re.compile(r"[.^$*+?{}\[\]\\|()]")
MOST = 3
"""Most patterns that an error suggests."""


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
    decimals = max((-int(value.normalize().as_tuple().exponent) for value in values.values()), default=0)
    factor = 10 ** max(decimals, 0)
    return {name: int(value * factor) for name, value in values.items()}, factor


def _decimal(text: str) -> Decimal | None:
    """Return a number written in ASCII that fits into 64 bits; None if it is none."""
    scale = SCALES.get(text[-1], 1)
    try:
        value = scale * Decimal(text.rstrip("kKMB")) if text.isascii() else Decimal("NaN")
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value) < 10**15 and value == round(value, 6) else None


def suggested(names: Sequence[str], stems: Mapping[str, str]) -> list[str]:
    r"""Return patterns that would tell the steps of some names apart, those that match most of them first.

    Numbers behind a loss or another measure are not suggested.

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
    ['^a_\\d+_(\\d+)']
    """
    readings: dict[tuple[tuple[str, int], ...], str] = {}
    for name in (*names[:MOST], *names[-MOST:]):
        timed = {number.stop for number in parse(stems[name]).numbers_of(*UNITS)}
        for match in DIGITS.finditer(stems[name]):
            word = re.search(r"([A-Za-z]+)[^A-Za-z0-9]*$", stems[name][: match.start()])
            if word and role_of(word[1])[0] == MEASURE:
                continue
            for pattern in _patterns(stems[name], match):
                steps, _ = steps_by(re.compile(pattern), names)
                if not _one_step_each(steps, stems) or (len(steps) == 1 and match.end() not in timed):
                    continue
                readings.setdefault(tuple(steps.items()), pattern)
                break
    return sorted(readings.values(), key=_rank(readings))[:MOST]


def _rank(readings: Mapping[tuple[tuple[str, int], ...], str]) -> Callable[[str], tuple[bool, int]]:
    matched = {pattern: len(steps) for steps, pattern in readings.items()}
    return lambda pattern: (r"\." in pattern, -matched[pattern])


def _one_step_each(steps: Mapping[str, int], stems: Mapping[str, str]) -> bool:
    networks = {parse(stems[name]).identity for name in steps}
    return len(networks) == 1 and len(set(steps.values())) == len(steps)


def _patterns(stem: str, match: re.Match) -> list[str]:
    """Return patterns for a number in a name: by the word before it, by the form of all before it, or by all of it."""
    before = stem[: match.start()]
    word = WORD_BEFORE.search(before)
    literal = [SPECIAL.sub(lambda special: "\\" + special[0], text) for text in (word[0] if word else "", before)]
    form = re.sub(r"\d+", r"\\d+", literal[1])
    digits = r"(\d+\.\d+)" if "." in match[0] else r"(\d+)"
    digits = r"([\d.]+[eE][-+]?\d+)" if "e" in match[0].lower() else digits
    digits = digits.replace(")", "[kKMB]?)") if match[0][-1] in SCALES else digits
    return [text + digits for text in (*literal[:1], f"^{form}", f"^{literal[1]}") if text]
