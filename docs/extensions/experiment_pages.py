"""A page for each published experiment, from its params.yaml, its README.md and the docstrings of its claims."""

import ast
import json
import re
import shutil
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

from markdown_text import escaped, table
from sphinx.application import Sphinx

from pipelines.differences import OURS, REPEATED, Publication, verdict_of

PIPELINES = Path(__file__).parent.parent.parent / "pipelines"


def experiments() -> list[str]:
    """Return the names of the experiments that take up a publication."""
    params = PIPELINES.glob("*/params.yaml")
    return sorted(path.parent.name for path in params if "\npublished:" in path.read_text(encoding="utf-8"))


def write_pages(app: Sphinx) -> None:
    """Write the pages, and copy the pictures beside them."""
    folder = Path(app.srcdir) / "experiments"
    folder.mkdir(exist_ok=True)
    pages = {name: "\n".join(page(name)) for name in experiments()} | {"index": "\n".join(index())}
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for picture in PIPELINES.glob("*/*.png"):
        shutil.copyfile(picture, folder / picture.name)


def index() -> Iterator[str]:
    """Yield the lines of the overview: the verdict on each variant of each experiment."""
    yield (PIPELINES / "README.md").read_text(encoding="utf-8")
    rows = [
        (f"[`{name}`]({name}.md)", escaped(", ".join(dict.fromkeys(variants))), verdict)
        for name in experiments()
        for verdict, variants in _verdicts(name).items()
    ]
    yield table(("experiment", "variants at the default size", "verdict"), rows)
    yield "```{toctree}\n:hidden:\n\n" + "\n".join(experiments()) + "\n```\n"


def _verdicts(name: str) -> dict[str, list[str]]:
    publication = Publication(PIPELINES / name / "params.yaml")
    verdicts: dict[str, list[str]] = {}
    for study in publication.studies:
        for variant in publication.variants(study):
            verdict = verdict_of(publication.of_variant(study, variant))
            verdicts.setdefault(verdict, []).append(variant or study.rpartition("/")[2])
    return verdicts


def page(name: str) -> Iterator[str]:
    """Yield the lines of the page of an experiment."""
    publication = Publication(PIPELINES / name / "params.yaml")
    yield (PIPELINES / name / "README.md").read_text(encoding="utf-8")
    yield f"Published: {escaped(str(publication.stated['source']))}.\n"
    yield f"```\ndvc repro pipelines/{name}/dvc.yaml\n```\n"
    yield "## Claims\n\nWhat is checked, and on which networks. The report of the experiment shows all runs.\n"
    checks = _checks(PIPELINES / name / "claims.py")
    about = publication.stated["claims"]
    rows = [
        (escaped(words), "our question" if about.get(claim) == OURS else escaped(_networks(about.get(claim))))
        for claim, words in checks.items()
    ]
    yield table(("check", "published for"), rows)
    for path in sorted((PIPELINES / name).glob("claims*.json")):
        yield from results(json.loads(path.read_text(encoding="utf-8")), path.stem.removeprefix("claims_"), checks)
    yield "## Settings that differ\n\nAt the default size; what is not listed is as published.\n"
    for study in publication.studies:
        for variant in publication.variants(study):
            compared = publication.of_variant(study, variant)
            title = " ".join(filter(None, (study.rpartition("/")[2], variant)))
            yield f"### {escaped(title)}: {verdict_of(compared)}\n"
            differences = [row.difference for row in compared if row.verdict != REPEATED]
            rows = [(escaped(d.setting), escaped(d.published), escaped(d.here)) for d in differences]
            yield table(("setting", "published", "here"), rows) if rows else "Nothing differs.\n"


def results(claims: dict[str, dict], size: str, checks: dict[str, str]) -> Iterator[str]:
    """Yield the lines of what was measured: verdicts, and medians over the runs.

    Parameters
    ----------
    claims
        Verdicts and medians by claim, as `pipelines.claims` writes them.
    size
        The size of the experiment; ``claims`` for the default one.
    checks
        First lines of the claims by name.
    """
    yield f"## Results at {'the default size' if size == 'claims' else f'`size: {size}`'}\n"
    rows = [(escaped(checks.get(name, name)), claim["holds"], claim["verdict"]) for name, claim in claims.items()]
    yield table(("check", "the claim holds", "experiment"), rows)
    yield "Medians over the runs:\n"
    rows = [
        (escaped(checks.get(name, name)) if first else "", escaped(what), f"{value:g}")
        for name, claim in claims.items()
        for first, (what, value) in zip(chain([True], repeat(False)), claim["median"].items(), strict=False)
    ]
    yield table(("check", "measured", "median"), rows)


def _networks(about: object) -> str:
    return ", ".join(map(str, about)) if isinstance(about, dict) else str(about or "")


def _checks(path: Path) -> dict[str, str]:
    """Return the first lines of the docstrings of the claims, by name."""
    functions = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    return {
        function.name: re.split(r"\n\n", ast.get_docstring(function) or "")[0].replace("\n", " ")
        for function in functions
        if not function.name.startswith("_")
    }


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for sources."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
