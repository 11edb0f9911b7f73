"""Modules of figures and findings hold the hooks that `figures/panel.py` and `findings/finding.py` document."""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import trajlab
from trajlab.figures.panel import Animated, Drawn
from trajlab.reports.findings.finding import Headlined, Summed
from trajlab.stages import stage_names

PACKAGE = Path(trajlab.__file__).parent
FIGURES, FINDINGS = PACKAGE / "figures", PACKAGE / "reports" / "findings"
HOOKS = {FIGURES: {"panels", "frames"}, FINDINGS: {"headline_data"}}


def file_of(folder, name):
    """Return the file of a stage's module, or of its package."""
    file = folder / f"{name}.py"
    return file if file.exists() else folder / name / "__init__.py"


MODULES = [(folder, name) for folder in HOOKS for name in stage_names() if file_of(folder, name).exists()]


@cache
def tree_of(path):
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def named():
    """Return all names that the package uses."""
    nodes = [node for path in PACKAGE.rglob("*.py") for node in ast.walk(tree_of(path))]
    aliases = {node.name for node in nodes if isinstance(node, ast.alias)}
    return aliases | {getattr(node, "id", "") or getattr(node, "attr", "") for node in nodes}


def unused_functions(path, hooks):
    """Return public functions of a module that are no hook and that nothing names: most likely misspelled hooks."""
    functions = {node.name for node in tree_of(path).body if isinstance(node, ast.FunctionDef)}
    return {name for name in functions - hooks - named() if not name.startswith("_")}


def literals(node):
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def figure_keys(path):
    """Return the keys of figures that findings name as literals."""
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    keys = [call.args[1] for call in calls if getattr(call.func, "id", "") in ("Finding", "nonfinite") if call.args[1:]]
    return {literal for key in keys for literal in literals(key)} - {"", "run", "parameter"}


@pytest.mark.parametrize(("folder", "name"), MODULES, ids=lambda value: getattr(value, "name", value))
def test_modules__hold_the_function_of_their_stage_and_no_misspelled_hook(folder, name):
    module = import_module(".".join(["trajlab", *folder.relative_to(PACKAGE).parts, name]))

    assert callable(getattr(module, name))
    assert isinstance(module, Drawn if folder == FIGURES else Summed)
    assert unused_functions(file_of(folder, name), HOOKS[folder] | {name}) == set()


@pytest.mark.parametrize("name", [name for folder, name in MODULES if folder == FINDINGS])
def test_findings__name_figures_that_exist(name):
    assert figure_keys(file_of(FINDINGS, name)) <= literals(tree_of(file_of(FIGURES, name)))


def test_hooks__are_optional():
    assert isinstance(import_module("trajlab.figures.filters"), Animated)
    assert not isinstance(import_module("trajlab.figures.drift"), Animated)
    assert isinstance(import_module("trajlab.reports.findings.drift"), Headlined)
    assert not isinstance(import_module("trajlab.reports.findings.filters"), Headlined)
