"""The code of the README: that records a run and replays it, and what stands within sentences."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import trajlab
from trajlab import record

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(title):
    """Give the Python code of a section."""
    section = README.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```\n", section, re.DOTALL)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """What the first code of the README leaves behind; gives its names."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(blocks("Record a run of your own")[0], names)
    return names


def test_readme__replays_snapshots_with_an_observer(recorded):
    names: dict = {"__name__": "readme"}
    (code,) = blocks("Replay snapshots")
    exec(code, names)

    replayed, peaks, probe = names["replayed"], names["peaks"], recorded["inputs"][:64]
    assert dict(replayed["1"].sizes) == {"step": len(names["run"].steps), "sample": 64, "unit": 16}
    for step in names["run"].steps:
        net = names["build"]()
        net.load_state_dict(names["run"].at(int(step)))
        with torch.no_grad():
            hidden, output = net[:2](probe), net(probe)
        np.testing.assert_allclose(peaks["1"].sel(step=step), hidden.amax(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(peaks["2"].sel(step=step), output.amax(0), rtol=1e-5, atol=1e-6)
    assert set(peaks) == {"1", "2"}


def inline_calls():
    """Give the calls within sentences whose functions the README's reader has."""
    sentences = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    for text in re.findall(r"(?<!`)`([^`]+)`(?!`)", sentences):
        try:
            tree = ast.parse(" ".join(text.split()), mode="eval")
        except SyntaxError:
            continue
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and (function := resolved(call.func)) is not None:
                yield pytest.param(function, call, id=ast.unparse(call))


def resolved(node):
    """Give what a name stands for, None if it is not ours."""
    if isinstance(node, ast.Name):
        names = {"trajlab": trajlab, "xr": xr, **{name: getattr(record, name) for name in record.__all__}}
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Call) and resolved(node.value.func) is record.every:
            return getattr(record.every(1), node.attr)
        return getattr(resolved(node.value), node.attr, None)
    return None


@pytest.mark.parametrize(("function", "call"), list(inline_calls()))
def test_readme__calls_within_sentences_fit_the_functions(function, call):
    inspect.signature(function).bind_partial(*call.args, **{keyword.arg: keyword.value for keyword in call.keywords})


def test_readme__schedules_within_sentences_select_what_it_says():
    names = {name: getattr(record, name) for name in ("every", "bursts")}
    schedules = re.findall(r"`((?:every|bursts)\([^`]*)`", README)
    selected = [[step for step in range(220) if eval(text, names)(step)] for text in schedules]
    assert selected == [[*range(100), 100, 150, 200], [0, 1, 100, 101, 200, 201]]
