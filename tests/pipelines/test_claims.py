import json

import numpy as np
import pytest
import xarray as xr

from pipelines import claims
from pipelines.claims import Results, claims_of, last, middle, of, verdict
from trajlab.errors import BadSetting, MissingData


@pytest.fixture
def losses():
    coords = {"run": ["a", "b", "c"], "init": ("run", ["x", "x", "y"]), "step": [0, 9]}
    return xr.DataArray(np.arange(6.0).reshape(3, 2), coords, ("run", "step"))


def test_of__chooses_runs_by_what_made_them(losses):
    assert last(of(losses, init="x")).values.tolist() == [1, 3]
    assert of(losses, init=["x", "y"]).sizes["run"] == 3
    assert middle(last(losses)) == 3
    with pytest.raises(MissingData, match="init z; .* a, b, c"):
        of(losses, init="z")


@pytest.mark.parametrize(
    ("each", "holds"), [([True, True], "yes"), ([True, False], "partly"), ([False], "no"), ([], "no")]
)
def test_verdict__is_over_all_cases(each, holds):
    assert verdict(each) == holds


def test_results__say_which_are_missing():
    with pytest.raises(MissingData, match="result features; .* drift"):
        Results(drift=xr.Dataset())["features"]


def test_claims_of__are_the_functions_of_the_file_in_order():
    names = [function.__name__ for function in claims_of("initialization")]

    assert names[0] == "means_stay_near_zero" and names[-1] == "zeros_never_learn"
    assert not any(name.startswith("_") or name in ("of", "last") for name in names)
    with pytest.raises(BadSetting, match="experiment 'nothing'"):
        claims_of("nothing")


def test_main__writes_the_verdicts(tmp_path, monkeypatch, capsys):
    result = xr.Dataset({"loss": ("step", [2.0, 1.0])}, attrs={"stage": "evaluation"})
    monkeypatch.setattr(claims, "open_results", lambda folder: {"evaluation": result, "folder": folder})

    def learns(results):
        loss = results["evaluation"]["loss"]
        return claims.Claim("It learns.", "yes", [], verdict([loss[-1] < loss[0]]))

    monkeypatch.setattr(claims, "claims_of", lambda experiment: [learns])
    claims.main("some", data=tmp_path)

    assert json.loads((tmp_path / "claims" / "some.json").read_text())[0]["holds"] == "yes"
    assert capsys.readouterr().out == "   yes  It learns.\n"
