"""The extension of Jupyter."""

import sys

import dask
import pytest

import trajlab
from trajlab import notebook
from trajlab.errors import MissingData

SHOWN = 'class="trajlab-result"'


@pytest.fixture
def shell():
    interactive = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    pytest.importorskip("tqdm")
    shell = interactive()
    shell.extension_manager.load_extension("trajlab.notebook")
    yield shell
    if "trajlab.notebook" in shell.extension_manager.loaded:
        shell.extension_manager.unload_extension("trajlab.notebook")
    notebook._bar.cache_clear()


def html_of(shell, value):
    return shell.display_formatter.format(value, include=["text/html"])[0]["text/html"]


def test_results_are_shown_with_a_figure_until_it_is_unloaded(shell, example):
    drift = trajlab.run("drift", example).compute()
    assert SHOWN in html_of(shell, drift)
    assert html_of(shell, trajlab.run(["drift"], example)).count("Not computed yet") == 1
    assert html_of(shell, example) == example._repr_html_()

    shell.extension_manager.unload_extension("trajlab.notebook")
    assert SHOWN not in html_of(shell, drift)


def test_what_takes_long_gets_a_bar(monkeypatch, example, capsys):
    pytest.importorskip("IPython")
    monkeypatch.setattr(notebook, "DELAY", 0)
    notebook._bar.cache_clear()
    with notebook._bar():
        dask.compute(trajlab.run("drift", example), scheduler="sync")
    notebook._bar.cache_clear()
    assert "computing" in (bar := capsys.readouterr().err) and "tasks" in bar


def test_without_tqdm_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.dask", None)
    notebook._bar.cache_clear()
    with pytest.raises(MissingData, match=r"trajlab\[notebook\]"):
        notebook.load_ipython_extension(None)
