import json

import numpy as np
import pytest
import xarray as xr

from pipelines import claims
from pipelines.claims import FOLDER, Results, claims_of, last, middle, of, verdict
from trajlab.errors import BadSetting, MissingData
from trajlab.reports.claims import ANOTHER, REPEATED, SMALLER, Difference, read_claims


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
    monkeypatch.setattr(claims, "open_results", lambda folder: {"evaluation": result})

    def learns(results):
        loss = results["evaluation"]["loss"]
        return claims.Claim("It learns.", "yes", [], verdict([loss[-1] < loss[0]]))

    monkeypatch.setattr(claims, "claims_of", lambda experiment: [learns])
    (tmp_path / "some").mkdir()
    settings = {"studies": {}, "published": {"source": "", "settings": {}, "claims": {"learns": "ours"}}}
    (tmp_path / "some" / "params.yaml").write_text(json.dumps(settings))
    monkeypatch.setattr(claims, "FOLDER", tmp_path)
    claims.main("some", data=tmp_path, metrics=tmp_path / "metrics.json")

    assert json.loads((tmp_path / "claims" / "some.json").read_text())[0]["holds"] == "yes"
    assert capsys.readouterr().out == "   yes  It learns.  [another experiment]\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/claims*.json")), ids=lambda path: path.parent.name)
def test_results__under_version_control_are_of_all_claims_of_today(path):
    """A new or renamed claim needs the experiment's claims computed anew."""
    measured = json.loads(path.read_text(encoding="utf-8"))
    assert list(measured) == [function.__name__ for function in claims.claims_of(path.parent.name)]
    for claim in measured.values():
        assert claim["holds"] in ("yes", "partly", "no") and claim["verdict"] in (REPEATED, SMALLER, ANOTHER)


def test_main__writes_verdicts_and_medians_that_dvc_can_compare(tmp_path, monkeypatch, capsys):
    result = xr.Dataset(attrs={"stage": "evaluation"}, coords={"images": ("run", [100, 60])})
    monkeypatch.setattr(claims, "open_results", lambda folder: {"evaluation": result})
    lines = [claims.Measured("loss", [1.0, 2.0, np.nan]), claims.Measured("none", [np.nan])]

    def learns(results):
        return claims.Claim("It learns.", "yes", lines, "partly")

    monkeypatch.setattr(claims, "claims_of", lambda experiment: [learns])
    training = {"model": {}, "dataset": "mnist", "batch_size": 1, "gradients": False, "probe": 1, "epochs": 1}
    study = {"inits": ["x"], "optimizers": {"sgd": {}}, "seeds": [0], "training": training | {"weights_every": 1}}
    stated = {"source": "", "settings": {"some": {"images": 80, "epochs": 1}}, "claims": {"learns": {"some": ""}}}
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "params.yaml").write_text(json.dumps({"studies": {"some": study}, "published": stated}))
    monkeypatch.setattr(claims, "FOLDER", tmp_path)
    claims.main("some", data=tmp_path, metrics=tmp_path / "metrics.json")

    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "learns": {"holds": "partly", "verdict": "repeated in a smaller size", "median": {"loss": 1.5}}
    }
    (claim,) = read_claims(tmp_path / "claims" / "some.json")
    assert claim.verdict == "repeated in a smaller size"
    assert claim.differences == [Difference("images", "80", "60")]
    with pytest.raises(BadSetting, match="there is no such file"):
        claims.main("other", data=tmp_path)
