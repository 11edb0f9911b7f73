"""The code of the README, and calls that stand within sentences of it and of the documentation."""

import ast
import inspect
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import xarray as xr

import trajlab
from trajlab import record

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/[a-z]*/[a-z]*.md")))]


def test_readme__is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) <= 150
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_readme__records_and_asks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```\n", README, re.DOTALL):
        exec(code, names)
    plt.close("all")

    assert names["run"].steps.tolist() == [*range(0, 200, 10), 200]
    assert (names["drift"].relative.isel(step=-1) > 0).all()


def inline_calls():
    """Yield the calls within sentences whose functions the reader has."""
    sentences = re.sub(r"^```.*?^```", "", "\n".join(PAGES), flags=re.DOTALL | re.MULTILINE)
    for text in re.findall(r"(?<!`)`([^`]+)`(?!`)", sentences):
        try:
            tree = ast.parse(" ".join(text.split()), mode="eval")
        except SyntaxError:
            continue
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and (function := resolved(call.func)) is not None:
                yield pytest.param(function, call, id=ast.unparse(call))


def resolved(node):
    """Return what a name stands for, None if it is not ours."""
    if isinstance(node, ast.Name):
        names = {"trajlab": trajlab, "xr": xr, **{name: getattr(record, name) for name in record.__all__}}
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Call) and resolved(node.value.func) is record.every:
            return getattr(record.every(1), node.attr)
        return getattr(resolved(node.value), node.attr, None)
    return None


@pytest.mark.parametrize(("function", "call"), list(inline_calls()))
def test_calls_within_sentences_fit_the_functions(function, call):
    inspect.signature(function).bind_partial(*call.args, **{keyword.arg: keyword.value for keyword in call.keywords})
