"""The page of the command line, from the commands themselves."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from markdown_text import escaped, table
from rich.text import Text
from sphinx.application import Sphinx

from trajlab.cli import app as commands


def write_page(app: Sphinx) -> None:
    """Write the page."""
    text = "\n".join(page())
    path = Path(app.srcdir) / "reference" / "commands.md"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def page() -> Iterator[str]:
    """Yield the lines of the page: each command with its arguments and options."""
    group: Any = typer.main.get_command(commands)
    context = typer.Context(group, info_name="trajlab")
    yield "# Command line\n"
    yield "`trajlab --help` prints what is here, `trajlab --install-completion` completes names in your shell.\n"
    yield f"{escaped(group.epilog)}\n"
    stages = []
    for name in group.list_commands(context):
        _, command, _ = group.resolve_command(context, [name])
        if getattr(command, "rich_help_panel", None) or name not in _own_commands(group):
            stages.append((name, command))
            continue
        yield from _command(name, command, context, full=True)
    yield "## Stages\n\nEach stage is a command. Its own settings are here; all stages share the options below.\n"
    shared = _shared([command for _, command in stages])
    yield table(("option", "meaning"), shared.values())
    for name, command in stages:
        yield from _command(name, command, context, leave_out=set(shared))


def _own_commands(group: Any) -> list[str]:
    from trajlab.stages import stage_names

    return [name for name in group.commands if name not in stage_names()]


def _shared(stages: list[Any]) -> dict[str, tuple[str, str]]:
    """Return the options of stages that are no settings of one, by name."""
    return {
        parameter.name: _row(parameter)
        for command in stages
        for parameter in command.params
        if parameter.param_type_name == "option" and getattr(parameter, "rich_help_panel", None) != "Settings"
        and parameter.name not in ("help", "fail_on")
    }  # fmt: skip


def _command(
    name: str, command: Any, context: Any, *, leave_out: set[str] = frozenset(), full: bool = False
) -> Iterator[str]:
    yield f"(trajlab-{name})=\n"
    yield f"### `trajlab {name}`\n" if not full else f"## `trajlab {name}`\n"
    parameters = [parameter for parameter in command.params if parameter.name != "help"]
    arguments = [_metavar(p) for p in parameters if p.param_type_name == "argument"]
    yield f"```\ntrajlab {name} {' '.join(arguments)} [OPTIONS]\n```\n"
    text = re.sub(r"\x08\n", "", command.help or "")
    text = text if full else text.partition("\n")[0]
    yield f"{escaped(Text.from_markup(text).plain)}\n"
    if not full:
        yield f"[What it computes](stages/{name}.md)\n"
    rows = [_row(parameter) for parameter in parameters if parameter.name not in leave_out]
    if rows:
        yield table(("argument or option", "meaning"), rows)


def _metavar(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any) -> tuple[str, str]:
    words = Text.from_markup(parameter.help or "").plain
    if parameter.param_type_name == "argument":
        return f"`{_metavar(parameter)}`", escaped(words)
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    value = parameter.default
    default = f" Default: `{value}`." if value not in (None, False, True, "", [], ()) and not callable(value) else ""
    return names, escaped(words) + default


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the page before Sphinx looks for sources."""
    app.connect("builder-inited", write_page)
    return {"parallel_read_safe": True}
