"""The page from Python."""

import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.explorer.explore import collection_of, require_panel

pn = pytest.importorskip("panel", reason="the page needs trajlab[explore]")


def test_a_notebook_gets_a_panel_object_that_can_be_served(example):
    shown = trajlab.explore(example, stages=["drift"])
    assert isinstance(shown, pn.viewable.Viewable)
    assert shown.servable
    for thread in threading.enumerate():
        if thread.name == "trajlab-explore":
            thread.join()  # as it changes the filters of warnings, which are those of all threads


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


def test_the_table_of_runs_has_facts_and_end_values(study):
    from trajlab.explorer.arrays import Arrays
    from trajlab.explorer.context import Context
    from trajlab.explorer.look import LIGHT
    from trajlab.explorer.run_facts import facts_of
    from trajlab.explorer.selection import Selection
    from trajlab.explorer.views.runs import end_values

    collection = collection_of(study, stages=[])
    context = Context(collection, Selection(), LIGHT, Arrays())
    assert np.allclose(end_values(context)["loss, last"], [0.01, 0.1, 1.0])
    assert facts_of(context)["run-1"] == {"lr": 0.1, "note": facts_of(context)["run-0"]["note"], "seed": 1}
    assert context.quantity == ("", "")


@pytest.mark.slow
def test_a_notebook_shows_the_page(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    code = "import trajlab\ntrajlab.explore(trajlab.example(), stages=['drift'])"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of Jupyter
        nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output.data for output in notebook.cells[0].outputs if "data" in output]
    assert any("panel.models" in str(data) or "bk-" in str(data) for data in outputs)
    assert not any(output.output_type == "error" for output in notebook.cells[0].outputs)
