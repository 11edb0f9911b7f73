from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("bokeh", reason="the page needs trajlab[explore]")

from trajlab.explorer.code import code_of, computing_code  # noqa: E402
from trajlab.explorer.selection import BEFORE, LAYER, MOMENTS, OVERVIEW, RUNS, SAMPLES  # noqa: E402

RESULT = xr.Dataset(
    {"rate": (("run", "step", "parameter", "tau"), np.arange(48.0).reshape(2, 3, 4, 2))},
    {"run": ["a", "b"], "step": [0, 5, 9], "parameter": list("wxyz"), "tau": [0.1, 0.01]},
)


def context(view, *, stored=None, window=None, row="x", paths=None, alone=False):
    selection = SimpleNamespace(view=view, at={"tau": "|g| ≤ 0.01"}, window=window)
    source = SimpleNamespace(paths=paths or {}, runs={"a": None, "b": None}, alone=alone)
    collection = SimpleNamespace(path_of=lambda result: stored, source=source, computed={"drift"})
    return SimpleNamespace(
        quantity=("drift", "rate"), results={"drift": RESULT}, selection=selection, collection=collection, run="b",
        chosen_runs=["a", "b"], row=row, run_before="b", before=0, step=9,
    )  # fmt: skip


def made(code):
    names = {"results": {"drift": RESULT}}
    exec(code, names)
    return names["array"]


def test_code__makes_the_array_that_a_view_shows():
    overview = made(code_of(context(OVERVIEW, window=(0, 5))))
    xr.testing.assert_identical(overview, RESULT.rate.sel(run="b").isel(tau=1).sel(step=slice(0, 5)))
    layer = made(code_of(context(LAYER)))
    xr.testing.assert_identical(layer, RESULT.rate.sel(run=["a", "b"], parameter="x").isel(tau=1))
    moments = context(MOMENTS)
    xr.testing.assert_identical(made(code_of(moments)), RESULT.rate.sel(run="b").sel(step=[0, 9]).isel(tau=1))
    moments.run_before = "a"
    xr.testing.assert_identical(made(code_of(moments)), RESULT.rate.sel(run=["a", "b"], step=[0, 9]).isel(tau=1))
    nothing = context(OVERVIEW)
    nothing.quantity = "", ""
    assert code_of(nothing) == ""
    assert code_of(context(RUNS)) == code_of(context(SAMPLES)) == code_of(context(BEFORE)) == ""


def test_code__opens_a_result_that_is_stored():
    assert "xr.open_zarr('out/drift.zarr', chunks=None)" in code_of(context(OVERVIEW, stored="out/drift.zarr"))


def test_computing_code__opens_the_runs_by_their_paths():
    both = computing_code(context(OVERVIEW, paths={"a": "runs/a", "b": "runs/b", "gone": "x"}), "drift")
    assert "trajlab.run('drift', {'a': trajlab.open('runs/a'), 'b': trajlab.open('runs/b')}).compute()" in both
    alone = computing_code(context(OVERVIEW, paths={"a": "runs/a"}, alone=True), "drift")
    assert "trajlab.run('drift', trajlab.open('runs/a'))" in alone
    assert computing_code(context(OVERVIEW), "drift") == "" and computing_code(context(OVERVIEW), "spectrum") == ""
