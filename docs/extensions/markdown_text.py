"""Plain text of docstrings as Markdown."""

import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"([\\*_<>\[\]|$#~^])")
"""Characters with a meaning in Markdown."""


def escaped(text: str) -> str:
    r"""Write text so that Markdown shows it as it is; names between backticks stay code.

    >>> escaped("|w_t| of `w_t`")
    '\\|w\\_t\\| of `w_t`'
    """
    text = re.sub(r":[a-z]+:`~?([^`]+)`", r"`\1`", text.replace("``", "`"))
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return SPECIAL.sub(r"\\\1", text)
    return "".join(f"`{part}`" if i % 2 else SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; bars within code are escaped, as those of a table's cells must be."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines) + "\n"


def _cell(text: str) -> str:
    text = " ".join(text.split())
    return re.sub(r"`[^`]*`", lambda code: re.sub(r"(?<!\\)\|", r"\\|", code[0]), text)
