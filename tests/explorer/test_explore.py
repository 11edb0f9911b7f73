"""The page from Python."""

import contextlib
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.explorer.explore import collection_of, require_panel

pn = pytest.importorskip("panel", reason="the page needs trajlab[explore]")

from trajlab.explorer.displayed import Displayed  # noqa: E402
from trajlab.explorer.page import TICK  # noqa: E402
from trajlab.explorer.result_collection import ResultCollection  # noqa: E402


def test_a_notebook_gets_a_panel_object_that_computes_once_it_is_displayed(example, monkeypatch):
    started = []
    monkeypatch.setattr(ResultCollection, "start", lambda collection: started.append(list(collection.states)))
    monkeypatch.setattr(type(pn.state), "add_periodic_callback", lambda state, act, period: started.append(period))
    shown = trajlab.explore(example, stages=["drift"])
    assert isinstance(shown, pn.viewable.Viewable) and shown.servable and not started
    (mark,) = shown.select(Displayed)
    mark.shown = True
    assert started == [["drift"], TICK]


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
def test_a_notebook_shows_the_page_and_its_results(tmp_path, browser):
    """JupyterLab, as a user has it, in a browser."""
    for package in ("jupyterlab", "ipykernel", "pyviz_comms"):
        pytest.importorskip(package, reason="the notebook needs jupyterlab")
    nbformat = pytest.importorskip("nbformat")
    code = "import trajlab\ntrajlab.explore(trajlab.example(), stages=['drift'])"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), tmp_path / "page.ipynb")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root",
               f"--ServerApp.root_dir={tmp_path}", "--IdentityProvider.token=secret"]  # fmt: skip
    server = subprocess.Popen(command, env=os.environ | home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    page = browser.new_page()
    page.set_default_timeout(240_000)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        page.goto(f"http://127.0.0.1:{port}/lab/tree/page.ipynb?token=secret")
        page.locator(".jp-Cell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        page.get_by_text("Results: 1 of 1").wait_for()
        page.get_by_label("variable").first.wait_for()
        page.locator(".bk-tab", has_text="Layer").click()
        page.locator(".bk-tab.bk-active", has_text="Layer").wait_for()
    finally:
        page.close()
        server.terminate()
        server.wait(30)
