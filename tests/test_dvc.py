"""What dvc.yaml names as dependencies of a stage covers every file that its output comes from."""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent

PIPELINES = sorted([ROOT / "dvc.yaml", *ROOT.glob("pipelines/*/dvc.yaml")])

DISPATCHERS = ("trajlab/cli.py",)
"""Files that import most of what they use inside functions, of which a command calls a few."""

STAGE_COMMAND = ("trajlab/running/stage_command.py",)
"""What every command that computes stages runs through."""

ROOTS = {
    "trajlab pack": ["trajlab/runs/pack.py", "trajlab/running/compute.py"],
    "trajlab run": [*STAGE_COMMAND],
    "trajlab figure": ["trajlab/figures"],
    "trajlab network": ["trajlab/figures/network.py", "pipelines/zoo"],
    "trajlab report": ["trajlab/reports", "trajlab/figures"],
    "python -m pipelines.train": ["pipelines/train.py", "pipelines/zoo"],
    "python -m pipelines.sweep": ["pipelines/sweep.py", "pipelines/zoo"],
    "python -m pipelines.claims": ["pipelines/claims.py"],
}
"""Files and folders that each command of our pipelines starts from, beside the stages that it names."""


@cache
def source_of(module: str) -> Path | None:
    """Return the file of a module of trajlab or pipelines; None if there is none of the name."""
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


@cache
def imports_of(path: Path) -> frozenset[Path]:
    """Return the files of ours that a file imports; a dispatcher's imports inside functions are left aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    relative = path.relative_to(ROOT).as_posix()
    nodes = tree.body if relative in DISPATCHERS else list(ast.walk(tree))
    modules = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    files = {source_of(module) for module in modules if module.split(".")[0] in ("trajlab", "pipelines")}
    return frozenset(file for file in files if file is not None)


def closure(roots: list[str]) -> set[Path]:
    """Return all files of ours behind files and folders, these included; the list of public names is left aside."""
    waiting, seen = [], set()
    for root in roots:
        path = ROOT / root
        path = path if path.exists() else path.with_suffix(".py")
        waiting += [path] if path.is_file() else [file for file in path.rglob("*") if "__pycache__" not in file.parts]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        if path.suffix == ".py":
            waiting += imports_of(path)
    return seen - {ROOT / "trajlab" / "__init__.py"}


def stages_of(file: Path) -> dict[str, dict]:
    """Return the stages of a dvc.yaml by name, those of a matrix or a foreach once, with their templates in them."""
    stages = yaml.safe_load(file.read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def roots_of(stage: dict) -> list[str]:
    """Return the files and folders that the commands of a DVC stage start from."""
    commands = stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]
    text = " ".join(" ".join(commands).split())
    roots = [root for command, known in ROOTS.items() if command in text for root in known]
    if "trajlab " in text:
        roots += DISPATCHERS
    if "pipelines.claims" in text:
        roots.append(f"pipelines/{re.search(r'pipelines.claims ([a-z_]+)', text)[1]}/claims.py")
    names = [name for listed in re.findall(r"--stages ([a-z_,$]+)", text) for name in listed.split(",")]
    names += re.findall(r"trajlab (\S+) ", text)
    stages = {path.stem for path in (ROOT / "trajlab" / "stages").glob("[a-z]*")}
    if "${item.stage}" in names:
        names += stages
    computed = [f"trajlab/stages/{name}" for name in names if name in stages]
    return roots + computed + ([*STAGE_COMMAND, "pipelines/zoo"] if computed else [])


def uncovered(stage: dict) -> set[str]:
    """Return the files behind a DVC stage that none of its dependencies covers."""
    covered = {ROOT / dep for dep in stage["deps"]}
    behind = closure(roots_of(stage))
    return {path.relative_to(ROOT).as_posix() for path in behind if not covered & {path, *path.parents}}


CASES = [(file, name) for file in PIPELINES for name in stages_of(file)]


@pytest.mark.parametrize(("file", "name"), CASES, ids=lambda one: one if isinstance(one, str) else one.parent.name)
def test_dependencies_cover_all_that_an_output_comes_from(file, name):
    stage = stages_of(file)[name]
    assert roots_of(stage), f"no command of {name} is known to this test: {stage['cmd']}"
    assert not uncovered(stage)


def test_dependencies_on_code_exist():
    for file in PIPELINES:
        for name, stage in stages_of(file).items():
            for dep in stage["deps"]:
                assert dep.startswith("data/") or (ROOT / dep).exists(), f"{file}: {name} depends on {dep}"


def test_a_file_that_no_dependency_covers_is_found():
    stage = dict(stages_of(ROOT / "dvc.yaml")["compute"])
    stage["deps"] = [dep for dep in stage["deps"] if dep != "trajlab/scan"]
    assert "trajlab/scan/tiles.py" in uncovered(stage)
    assert "trajlab/scan/kernels/drift_sums.py" in uncovered(stage)
    page = dict(stages_of(ROOT / "dvc.yaml")["report"])
    page["deps"] = [dep for dep in page["deps"] if dep != "trajlab/reports"]
    assert {"trajlab/reports/page.css", "trajlab/reports/outline.py"} <= uncovered(page)


def test_stages_are_written_once():
    for file in PIPELINES:
        text = file.read_text(encoding="utf-8")
        assert text.count("trajlab ${item.stage}") <= 1
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert stages_of(ROOT / "dvc.yaml")["compute"]["matrix"] == {"stage": "${stages}"}
    stages = {path.stem for path in (ROOT / "trajlab" / "stages").glob("[a-z]*")}
    assert (
        set(params["stages"]) | {"attention", "optimizer_state", "residual_stream", "routing", "unit_lines"} == stages
    )


def test_analyses_have_metrics_and_plots_whose_columns_exist():
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    report = content["stages"]["report"]
    assert report["metrics"] and f"--metrics {report['metrics'][0]}" in report["cmd"]
    assert f"--plots {report['outs'][1]}" in report["cmd"]
    plots = {
        path: how for entry in content["plots"] for path, how in entry.items() if path.startswith(report["outs"][1])
    }
    assert len(plots) >= 5
    for path, how in plots.items():
        headlines = import_module(f"trajlab.reports.findings.{Path(path).stem}").HEADLINES
        assert {how["y"]} <= {*headlines} if isinstance(how["y"], str) else {*how["y"]} <= {*headlines}
