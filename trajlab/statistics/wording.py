"""Formatting of numbers, counts and lists in sentences and tables."""

import math


def share(value: float) -> str:
    """Write a share in per cent with its significant digits.

    A share that is not 0 or 1 is not rounded to 0 % or 100 %.

    >>> share(0.1234), share(0.012), share(0.00042), share(0), share(1.06), share(1)
    ('12 %', '1.2 %', '0.04 %', '0 %', '106 %', '100 %')
    >>> share(0.995), share(0.999999), share(1.0001)
    ('99.5 %', '> 99.99 %', '100.01 %')
    """
    percent = 100 * value
    if not math.isfinite(percent):
        return number(value)
    size = abs(percent)
    if 0 < abs(size - 100) <= 0.5:
        return _nearly_all(percent)
    if size == 0 or size >= 10:
        return f"{percent:,.0f} %"
    if size < 0.01:
        return "< 0.01 %"
    return f"{percent:.1f} %" if size >= 1 else f"{percent:.2f} %"


def _nearly_all(percent: float) -> str:
    """Write a value near 100 per cent with the digits that tell it from 100 %."""
    for digits in (1, 2):
        if abs(float(f"{percent:.{digits}f}")) != 100:
            return f"{percent:.{digits}f} %"
    return "> 99.99 %" if 1e-9 < 100 - percent < 1 else f"{percent:.0f} %"


def number(value: float) -> str:
    """Write a number with three significant digits.

    >>> number(1234567), number(0.012345), number(3.0), number(float("nan")), number(2.5e-7)
    ('1,234,567', '0.0123', '3', '–', '2.5e-07')
    """
    if not math.isfinite(value):
        return {"inf": "∞", "-inf": "−∞"}.get(str(value), "–")
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def count(n: int | float, thing: str) -> str:
    """Write a count with its noun, in the plural where needed.

    >>> count(1, "unit"), count(2000, "unit"), count(3, "entry"), count(2, "array")
    ('1 unit', '2,000 units', '3 entries', '2 arrays')
    """
    many = thing[:-1] + "ies" if thing.endswith("y") and thing[-2:-1] not in "aeiou" else thing + "s"
    return f"{int(n):,} {thing if int(n) == 1 else many}"


def listed(words: list[str]) -> str:
    """Join words with commas and “and”.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
