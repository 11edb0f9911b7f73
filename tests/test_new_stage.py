"""The documentation's example of a new stage is one file and one line, and all of trajlab takes it up."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trajlab

ROOT = Path(__file__).parent.parent

COPIED = ("trajlab", "tests", "pipelines", "dvc.yaml", "params.yaml", "pyproject.toml", "README.md")


HOWTO = ROOT / "docs" / "howto"


def example() -> tuple[str, str, str]:
    """Return name and source of the stage of the how-to, and the line that it needs in params.yaml."""
    text = (HOWTO / "own_stage.md").read_text(encoding="utf-8")
    source = (HOWTO / re.search(r"{literalinclude} (\S+)", text)[1]).read_text(encoding="utf-8")
    line = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    return re.search(r"^def (\w+)\(", source, re.MULTILINE)[1], source, line


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Copy the repository, and add the stage, its figure and its finding as the how-to says."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    name, source, line = example()
    (folder / "trajlab" / "stages" / f"{name}.py").write_text(source, encoding="utf-8")
    shutil.copy(HOWTO / "files" / f"{name}_figure.py", folder / "trajlab" / "figures" / f"{name}.py")
    shutil.copy(HOWTO / "files" / f"{name}_finding.py", folder / "trajlab" / "reports" / "findings" / f"{name}.py")
    params = folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    assert text.count("\nstages:\n") == 1 and len(line.splitlines()) == 1
    params.write_text(text.replace("\nstages:\n", f"\nstages:\n  {line.strip()}\n"), encoding="utf-8")
    trajlab.pack(trajlab.example(), folder / "walk.zarr")
    return folder


def call(folder: Path, *arguments: str | Path) -> str:
    """Run Python in the copy, which is the trajlab that it imports; return what it prints."""
    command = [sys.executable, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "160"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


CLI = "from trajlab.cli import main; main()"


def test_it_passes_the_laws_of_stages(copy):
    name = example()[0]
    printed = call(copy, "-m", "pytest", "tests/stages/test_every_stage.py", "-k", name, "-q", "-p", "no:cacheprovider")
    assert int(re.search(r"(\d+) passed", printed)[1]) >= 10


def test_it_is_a_command_with_its_settings_and_help(copy):
    name, source, _ = example()
    assert name in call(copy, "-c", CLI, "--help")
    setting = re.search(r"\*, (\w+):", source)[1]
    assert f"--{setting}" in call(copy, "-c", CLI, name, "--help")


def test_it_is_in_the_report_under_a_question_of_its_own_with_a_figure(copy):
    name, source, _ = example()
    call(copy, "-c", CLI, name, "walk.zarr", f"results/{name}.zarr", "--params", "params.yaml")
    call(copy, "-c", CLI, "drift", "walk.zarr", "results/drift.zarr")
    call(copy, "-c", CLI, "report", "results", "report.html")
    page = (copy / "report.html").read_text(encoding="utf-8")
    asked = re.search(r"Answers: (.*?\?)", source)[1]
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page, re.DOTALL)
    assert [heading for heading in headings if asked.lower() in heading.lower()], headings
    section = page.partition(f'id="{name}"')[2]
    assert "<svg" in section.partition("</section>")[0]
    assert "grew most: to" in page, "its finding"
    assert "to the power 1/p" in section, "the caption of its figure"


def test_dvc_computes_it(copy):
    pytest.importorskip("dvc")
    call(copy, "-m", "dvc", "init", "--no-scm", "-q")
    assert f"compute@{example()[0]}" in call(copy, "-m", "dvc", "stage", "list", "--name-only")
