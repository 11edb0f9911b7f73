"""The page from Python, and its command."""

import subprocess
import sys

import numpy as np
import pytest

import trajlab
from tests.command_line import call
from trajlab.errors import BadSetting, MissingData
from trajlab.explorer.explore import require_panel

pn = pytest.importorskip("panel", reason="the page needs trajlab[explore]")


def trajlab_command(*arguments):
    return subprocess.run([sys.executable, "-m", "trajlab", *map(str, arguments)], capture_output=True, text=True)


def test_a_notebook_gets_a_panel_object_that_can_be_served(example):
    shown = trajlab.explore(example, stages=["drift"])
    assert isinstance(shown, pn.viewable.Viewable)
    assert shown.servable


def test_a_stage_that_is_not_there_is_named(example):
    with pytest.raises(BadSetting, match="drfit"):
        trajlab.explore(example, stages=["drfit"])


def test_help_imports_nothing_of_the_page():
    code = (
        "import sys\nfrom trajlab.cli import app\n"
        "try:\n    app(['explore', '--help'])\nexcept SystemExit:\n    pass\n"
        "print({'panel', 'bokeh', 'xarray', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert "--no-browser" in done.stdout and "--port" in done.stdout


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("trajlab.explorer.explore.find_spec", lambda name: None)
    with pytest.raises(MissingData, match=r"pip install 'trajlab\[explore\]'"):
        require_panel()


def test_errors_are_one_line(tmp_path):
    done = call("explore", tmp_path / "nowhere", "--no-browser")
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "nowhere" in done.stderr


def test_a_port_in_use_is_an_error_of_one_line(address, study):
    port = address.partition("?")[0].rstrip("/").rpartition(":")[2]
    done = trajlab_command("explore", study, "--port", port, "--no-browser")
    assert done.returncode == 1 and port in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_table_of_runs_has_facts_and_end_values(study):
    from trajlab.explorer.context import Context
    from trajlab.explorer.explore import collection_of
    from trajlab.explorer.look import LIGHT
    from trajlab.explorer.quantity import Arrays
    from trajlab.explorer.selection import Selection
    from trajlab.explorer.views.runs import end_values

    collection = collection_of(
        study, results=None, stages=[], step_pattern=None, model=None, probe=None, device=None, trust=False
    )
    context = Context(collection, Selection(), LIGHT, Arrays())
    assert np.allclose(end_values(context)["loss, last"], [0.01, 0.1, 1.0])
    assert context.facts()["run-1"] == {"lr": 0.1, "note": context.facts()["run-0"]["note"], "seed": 1}
    assert context.quantity == ("", "")
