"""Results as HTML."""

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.reports import result_html as result_html_module
from trajlab.reports.result_html import STYLE, is_result, result_html, tree_html


@pytest.fixture(scope="module")
def drift():
    return trajlab.run("drift", trajlab.example()).compute()


def test_result_html__has_the_question_findings_and_a_figure(drift):
    html = result_html(drift)
    head = html.removeprefix(STYLE).partition("<svg")[0]

    assert "<b>drift</b> 21 steps, 5 parameters" in head and "How far each tensor moved" in head
    assert 1 <= head.count("<li>") <= 3 and "<code>" in head and "`" not in head
    assert html.count("<svg viewBox") == 1 and "relative distance" in html
    assert "<details><summary>Variables" in html and drift._repr_html_()[-500:] in html


def test_result_html__a_lazy_result_computes_nothing(example, no_compute):
    with no_compute():
        html = result_html(trajlab.run("drift", example))
    assert "Not computed yet" in html and "<svg viewBox" not in html and "<details open>" in html


def test_result_html__parts_and_other_datasets_are_shown_by_xarray(drift):
    for other in (drift.isel(step=-1), drift[["norm"]], drift.mean("step"), xr.Dataset({"x": ("y", [1.0])})):
        assert not is_result(other)
        assert 'class="trajlab-result"' not in result_html(other)
    assert is_result(drift.isel(step=slice(3)))


def test_result_html__what_cannot_be_drawn_is_named(drift, monkeypatch):
    monkeypatch.setattr(result_html_module, "panels", lambda result: [][0])
    html = result_html(drift)
    assert "No figure: IndexError" in html and "<details open>" in html


def test_result_html__names_are_escaped():
    run = trajlab.from_arrays({"<b>w": np.arange(12.0).reshape(3, 4)})
    html = result_html(trajlab.run("drift", run).compute())
    assert "<b>w" not in html and "&lt;b&gt;w" in html


def test_result_html__of_an_own_stage(example):
    def largest(weight):
        return abs(weight).max(weight.dims[1:])

    html = result_html(trajlab.run(largest, example).compute())
    assert "<b>largest</b>" in html and "<svg viewBox" in html


def test_tree_html__has_a_result_for_each_stage(example):
    tree = trajlab.run(["drift", "spectrum"], example)
    html = tree_html(tree)
    assert "<b>drift</b>" in html and "<b>spectrum</b>" in html
    assert 'class="trajlab-result"' not in tree_html(xr.DataTree.from_dict({"a": xr.Dataset()}))
