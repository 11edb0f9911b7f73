"""Help texts of stages, taken from their docstrings."""

import ast
import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from rich.markup import escape

from trajlab.stages import stage_names, stage_source

PANELS = {
    "metrics": "What went wrong",
    "weight": "From weights",
    "gradient": "From gradients",
    "moments": "From the optimizer",
    "activation": "By replaying snapshots",
    "replay": "By replaying snapshots",
    "other": "Across runs",
}
"""Panel of the help by the first input of a stage; `other` if the stage requires a second run."""

OTHERS = "Other stages"


def stages_by_panel() -> list[tuple[str, str, str]]:
    """Return name, summary and panel of each stage, in the order of the panels, without importing any."""
    order = [*PANELS.values(), OTHERS]
    stages = [(name, summary(name), panel(name)) for name in stage_names()]
    return sorted(stages, key=lambda stage: order.index(stage[2]))


def summary(name: str) -> str:
    """Return the first line of a stage's docstring, without importing it."""
    function = _definition(name)
    return (ast.get_docstring(function) or "").partition("\n")[0] if function else ""


def panel(name: str) -> str:
    """Return the panel of the help that lists a stage, without importing it."""
    function = _definition(name)
    if function is None:
        return OTHERS
    inputs = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    required = inputs[: len(inputs) - len(function.args.defaults)]
    first = "other" if any(name.startswith(("other_", "parent_")) for name in required) else "".join(inputs[:1])
    return PANELS.get(first, PANELS.get(first.removesuffix("s"), OTHERS))


HEAD = r"^def {name}\(.*?^    (\"{{3}}.*?\"{{3}})\n"
"""Pattern of a stage from its name to the end of its docstring: parsing 24 whole files would take 0.1 s."""


@cache
def _definition(name: str) -> ast.FunctionDef | None:
    source = stage_source(name).read_text(encoding="utf-8")
    head = re.search(HEAD.format(name=name), source, re.DOTALL | re.MULTILINE)
    return (head and _function(head[0], name)) or _function(source, name)


def _function(source: str, name: str) -> ast.FunctionDef | None:
    with suppress(SyntaxError):
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return node
    return None


def parameter_help(function: Callable) -> dict[str, str]:
    """Return the help of each parameter, from the numpydoc section Parameters."""
    entries = _entries(sections(function).get("Parameters", ""))
    return {name: text for names, text in entries for name in names.split(", ")}


def description(function: Callable) -> str:
    """Return what a docstring says before its sections, for rich."""
    return escape(sections(function)[""])


def unwrapped(text: str) -> str:
    r"""Return a help text with each paragraph on one line, as rich keeps line ends; lists and verbatim text stay.

    >>> unwrapped("First\nparagraph.\n\n- a\n- b")
    'First paragraph.\n\n- a\n- b'
    """
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        part if re.search(r"\x08|^\s*[-*] ", part, re.MULTILINE) else " ".join(part.split()) for part in paragraphs
    )


def result_help(function: Callable) -> str:
    """Return the variables of a stage's result, from the numpydoc section Returns, for rich."""
    entries = _entries(sections(function).get("Returns", ""))
    variables = [f"[bold]{escape(names.replace(' : ', ' '))}[/]: {escape(text)}" for names, text in entries]
    return "\n\n".join(["Variables of the result (dimensions):", *variables]) if variables else ""


def sections(function: Callable) -> dict[str, str]:
    """Split a numpydoc docstring by the titles of its sections; the text before the first has none."""
    before, *parts = re.split(r"\n(\w[\w ]*)\n-+\n", inspect.getdoc(function) or "")
    return {"": before.strip()} | dict(zip(parts[::2], parts[1::2], strict=True))


def _entries(section: str) -> list[tuple[str, str]]:
    """Return the entries of a section, each a line and the indented text below it."""
    entries = re.findall(r"^(\S.*)\n((?:[ ]{4}.*\n?)+)", section, re.MULTILINE)
    return [(line, " ".join(text.split())) for line, text in entries]
