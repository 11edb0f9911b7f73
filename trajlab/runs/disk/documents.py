"""JSON and YAML from strangers: parsed with bounds on depth, size and digits, and never into code."""

import json
from collections.abc import Callable
from typing import Any

DEEPEST = 64
"""Levels of nested lists and mappings beyond which a document is refused."""

MOST, MOST_YAML = 10_000_000, 100_000
"""Values beyond which a document is refused; aliases of YAML count each time."""

LONGEST = 256 << 20
"""Most characters of a document."""

MOST_DIGITS = 300
"""Most digits of an integer: all that have no more fit into a float."""


def parse_json(text: str | bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    r"""Parse JSON.

    Parameters
    ----------
    text
        The document; bytes are UTF-8.
    pairs
        Function that makes a mapping from its pairs.

    Raises
    ------
    ValueError
        It is not JSON, not UTF-8, nested too deeply, too long, or has integers of too many digits or characters that
        no text has.

    Examples
    --------
    >>> parse_json('{"step": 3}')
    {'step': 3}
    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: it is nested more than 64 levels deep
    """
    if len(text) > LONGEST:
        raise ValueError(f"it has more than {LONGEST:,} characters")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError("it is not UTF-8") from error
    decoder = _DECODER if pairs is None else json.JSONDecoder(parse_int=_integer, object_pairs_hook=pairs)
    try:
        document = decoder.decode(text)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep") from None
    if text.count("[") + text.count("{") > DEEPEST:
        check_bounds(document)
    if "\\ud" in text or "\\uD" in text:
        check_characters(document)
    return document


def parse_yaml(text: bytes) -> Any:
    """Parse YAML of plain types.

    Raises
    ------
    ValueError
        It is not YAML, not UTF-8, or too deep, too long or too large.
    """
    import yaml

    if len(text) > LONGEST:
        raise ValueError(f"it has more than {LONGEST:,} characters")
    try:
        document = yaml.safe_load(text.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep") from None
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    except Exception as error:  # dates, numbers and keys that YAML describes and Python lacks raise anything
        raise ValueError(" ".join(str(error).split())[:200] or repr(error)) from error
    check_bounds(document, MOST_YAML)
    return document


def check_bounds(document: Any, most: int = MOST) -> None:
    """Raise ValueError if a document is nested too deeply, holds itself, or is too large."""
    level, count = [document], 0
    for _ in range(DEEPEST + 1):
        children = [child for node in level if isinstance(node, list) for child in node]
        children += [child for node in level if isinstance(node, dict) for child in node.values()]
        count += len(children)
        if count > most:
            raise ValueError(f"it holds more than {most:,} values")
        level = [child for child in children if isinstance(child, list | dict)]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def check_characters(document: Any) -> None:
    """Raise ValueError if a text in a document has half of a surrogate pair, which no file can hold."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text in it has half of a character (a lone surrogate)") from error


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"it has an integer of {len(digits)} digits")
    return int(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)
