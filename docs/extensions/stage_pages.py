"""A page for each stage and a gallery, from docstrings, tables of meanings, and results on the runs of study.py.

Stages are those of the folder `trajlab/stages`: a new one gets its page and its figure without an edit here.
"""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import matplotlib.pyplot as plt
import matplotlib.style
import xarray as xr
from markdown_text import escaped, table
from sphinx.application import Sphinx
from sphinx.util import logging

import trajlab
from trajlab.errors import TrajlabError
from trajlab.figures.inline import STYLE
from trajlab.running.help import panel, parameter_help, sections, summary
from trajlab.running.inputs import TENSORS, needs_of, needs_replay, without_prefix
from trajlab.running.settings import settings_of
from trajlab.stages import stage, stage_names
from trajlab.statistics.result import Meaning

LOG = logging.getLogger(__name__)

STUDIES = ("digits", "plane", "sequences")
"""Functions of study.py, in the order in which a stage is tried on them."""

CODE = """\
import trajlab
from study import {study}

result = trajlab.run("{stage}", {study}()).compute()
trajlab.figure(result)
"""

LAZY = "Nothing is read or computed before `.compute()`; stages that run together share their passes."


@dataclass(frozen=True)
class Example:
    """A stage on one of the studies.

    Attributes
    ----------
    code
        What was run; empty if no study has what the stage needs.
    result
        What the stage returned.
    """

    code: str
    result: xr.Dataset


def write_pages(app: Sphinx) -> None:
    """Write the pages and figures that are older than what they come from."""
    folder = Path(app.srcdir) / "reference" / "stages"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "made-from"
    made_from = _hash(Path(trajlab.__file__).parent, Path(app.srcdir) / "study.py", Path(__file__))
    if stamp.exists() and stamp.read_text() == made_from:
        return
    for old in folder.iterdir():
        old.unlink()
    drawn = {}
    for name in stage_names():
        LOG.info("stage %s", name)
        example = _example(name, folder / f"{name}.svg")
        (folder / f"{name}.md").write_text("\n".join(page(name, example)), encoding="utf-8")
        drawn[name] = bool(example.code)
    (folder / "index.md").write_text("\n".join(_index()), encoding="utf-8")
    (folder / "gallery.md").write_text("\n".join(_gallery(drawn)), encoding="utf-8")
    stamp.write_text(made_from)


def _hash(*roots: Path) -> str:
    files = [file for root in roots for file in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _example(name: str, picture: Path) -> Example:
    """Run a stage on the first study that has what it needs, and save the figure that the last line draws."""
    for study in STUDIES:
        code = CODE.format(stage=name, study=study)
        *lines, last = ast.parse(code).body
        names: dict[str, Any] = {}
        try:
            with matplotlib.style.context(STYLE):
                exec(compile(ast.Module(lines, []), f"<{name}>", "exec"), names)
                ax = eval(compile(ast.Expression(last.value), f"<{name}>", "eval"), names)
                ax.figure.savefig(picture, metadata={"Date": None}, facecolor="white", bbox_inches="tight")
        except TrajlabError as error:
            LOG.info("%s on %s: %s", name, study, error)
            continue
        finally:
            plt.close("all")
        return Example(code, names["result"])
    return Example("", xr.Dataset())


def page(name: str, example: Example) -> Iterator[str]:
    """Yield the lines of the page of a stage."""
    function = stage(name)
    parts = sections(function)
    first, _, rest = parts[""].partition("\n")
    yield f"# `{name}`\n\n{escaped(first)}\n"
    for paragraph in filter(None, re.split(r"\n\s*\n", rest)):
        answers = paragraph.strip().removeprefix("Answers: ")
        yield f"**Answers:** {escaped(answers)}\n" if answers != paragraph.strip() else f"{escaped(paragraph)}\n"
    if example.code:
        yield f"```{{figure}} {name}.svg\n:alt: The figure of {name} on a small run\n```\n"
        yield f"```python\n{example.code}```\n"
        yield "The runs are those of [the small study of these pages](../study.md).\n"
    else:
        yield "None of [the small runs of these pages](../study.md) has what this stage needs, so there is no figure.\n"
    yield f"On the command line: `trajlab {name} RUN {name}.zarr`; see [its options](../commands.md#trajlab-{name}).\n"
    yield from _inputs(function)
    yield from _settings(function)
    yield from _variables(function, parts, example.result)
    for title in ("Raises", "Notes", "References"):
        if title in parts:
            heading = {"Raises": "Errors"}.get(title, title)
            yield f"## {heading}\n\n{''.join(_prose(parts[title]))}"


def _inputs(function: Any) -> Iterator[str]:
    helps = parameter_help(function)
    rows = [
        (f"`{name}`", "required" if parameter.default is parameter.empty else "optional", escaped(helps.get(name, "")))
        for name, parameter in needs_of(function).items()
    ]
    yield "## What it needs\n"
    yield table(("input", "", "what it is"), rows)
    yield f"{' '.join(_costs(function))} {LAZY}\n"


def _costs(function: Any) -> Iterator[str]:
    groups = {TENSORS.get(name, name) for name in map(without_prefix, needs_of(function))}
    if read := sorted(groups & {"weights", "gradients", "buffers"}):
        yield f"It reads the {' and the '.join(read)} of each step it uses once."
    if groups & {"activations", "replay", "chain"}:
        yield "Activations come from replaying snapshots on the probe: at least one forward pass for each."
    elif needs_replay(function) and "weights" in groups:
        yield "With `--on activations` it replays snapshots on the probe instead."
    if not read and not groups & {"activations", "replay", "chain"}:
        yield "It reads the metrics, and what else the run has."


def _settings(function: Any) -> Iterator[str]:
    helps = parameter_help(function)
    rows = [
        (f"`{name}`", f"`{_type_name(parameter.annotation)}`", f"`{_plain(parameter.default)}`", escaped(helps[name]))
        for name, parameter in settings_of(function).items()
    ]
    yield "## Settings\n"
    yield table(("setting", "type", "default", "meaning"), rows) if rows else "It has none.\n"


def _plain(default: Any) -> str:
    return repr(list(default) if isinstance(default, tuple) else default)


def _type_name(annotation: Any) -> str:
    return inspect.formatannotation(annotation).replace("collections.abc.", "")


def _variables(function: Any, parts: Mapping[str, str], result: xr.Dataset) -> Iterator[str]:
    yield "## Variables of the result\n"
    yield from _prose(parts.get("Returns", ""))
    meanings: dict[str, Meaning] = getattr(import_module(f"trajlab.stages.{function.__name__}"), "MEANINGS", {})
    described = {str(name): dict(variable.attrs) for name, variable in result.data_vars.items()}
    described |= {name: meaning._asdict() for name, meaning in meanings.items() if name not in described}
    if not described:
        return
    yield "### Definitions\n"
    yield "Dimensions are those in the example, without `run`; a dash marks what the example has not.\n"
    rows = [
        (
            f"`{name}`",
            ", ".join(str(dim) for dim in result[name].dims if dim != "run") or "none" if name in result else "–",
            escaped(str(attrs.get("units", ""))),
            escaped(str(attrs.get("long_name", ""))),
            escaped(str(attrs.get("definition", ""))),
        )
        for name, attrs in described.items()
        if not attrs.get("total")
    ]
    yield table(("variable", "dims", "unit", "title", "definition"), rows)
    if any(attrs.get("total") for attrs in described.values()):
        yield "Variables named `total_…` are the same of the whole network.\n"
    if labels := [f"`{name}` ({', '.join(map(str, coord.dims))})" for name, coord in result.coords.items()]:
        yield f"Coordinates in the example: {', '.join(labels)}.\n"


def _prose(section: str) -> Iterator[str]:
    """Yield the entries of a section of numpydoc as definitions, and its paragraphs."""
    for block in re.split(r"\n(?=\S)", section.strip()):
        term, _, body = block.partition("\n")
        if body.startswith("    ") or re.match(r"\S.*\n    ", block):
            names, _, dims = term.partition(" : ")
            listed = ", ".join(f"`{name.strip('`')}`" for name in names.split(", "))
            yield f"{listed} {escaped(dims)}\n: {escaped(' '.join(dedent(body).split()))}\n\n"
        else:
            yield f"{escaped(block)}\n"
    yield "\n"


def _index() -> Iterator[str]:
    yield "# Stages\n"
    yield "Each stage answers a question. [The gallery](gallery.md) shows a figure of each.\n"
    for title in dict.fromkeys(map(panel, stage_names())):
        rows = [(f"[`{name}`]({name}.md)", _question(name)) for name in stage_names() if panel(name) == title]
        yield f"## {title}\n\n{table(('stage', 'what it answers'), rows)}"
    yield "```{toctree}\n:hidden:\n\ngallery\n" + "\n".join(stage_names()) + "\n```\n"


def _question(name: str) -> str:
    """Return what a stage says after "Answers:"; its first line if it does not."""
    asked = re.search(r"Answers: (.*?)(\n\s*\n|$)", sections(stage(name))[""], re.DOTALL)
    return escaped(" ".join(asked[1].split())) if asked else escaped(summary(name))


def _gallery(drawn: Mapping[str, bool]) -> Iterator[str]:
    yield "# Gallery\n\nA figure of each stage; its page has the code that made it.\n"
    yield "::::{grid} 1 2 2 3\n:gutter: 3\n"
    for name in filter(drawn.get, drawn):
        yield f":::{{grid-item-card}} `{name}`\n:link: {name}\n:link-type: doc\n:img-bottom: {name}.svg\n"
        yield f"{escaped(summary(name))}\n:::\n"
    yield "::::\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for sources."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
