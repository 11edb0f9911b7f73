"""Text on a terminal: what names in data may hold is shown, and never obeyed."""

import os
import re
import sys
from contextlib import suppress

COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move the cursor, change colors or titles, turn the direction of writing, or cannot be encoded."""


def printable(text: object) -> str:
    r"""Return a text with control characters, line ends and marks of direction written as escape sequences of Python.

    >>> printable("fc\x1b[31m.weight\n")
    'fc\\x1b[31m.weight\\n'
    """
    return COMMANDS.sub(lambda match: match[0].encode("unicode_escape").decode(), str(text))


def printable_markup(text: object) -> str:
    """Return a text from data that neither the terminal nor rich takes as a command."""
    from rich.markup import escape

    return escape(printable(text))


def open_closed_streams() -> None:
    """Let the standard streams that the shell has closed (``2>&-``) lead nowhere."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_WRONLY)
            os.dup2(opened, descriptor)
            if opened != descriptor:
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, "w"))


def say(line: str) -> None:
    """Print one line on stderr, behind the name of the program; no error if stderr is closed or its disk is full."""
    with suppress(OSError, ValueError):
        print(f"trajlab: {printable(line)}", file=sys.stderr)
