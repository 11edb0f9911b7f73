"""Whatever a text in a run or a result says, the page shows it and never obeys it."""

import json

import numpy as np
import pytest

import trajlab
from trajlab.reports.claims import Claim, Difference, Measured, write_claims
from trajlab.reports.page import report

pytestmark = pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # the labels are long

PAYLOAD = (
    "<img src=x onerror=window.hacked=1><script>window.hacked=1</script></svg><svg onload=window.hacked=1>"
    "--><style>body{display:none}</style>'\"><b onmouseover=window.hacked=1>]]>$\\frac{$ {{7*7}} `<i>`"
)
"""A text with a live tag for each place in a page, and with formulas that matplotlib and jinja do not know."""

KEPT = {"Conventions", "stage", "variables", "units", "settings"}
"""Attrs that say how a result is read."""


def hostile(result):
    """Return a result with the payload behind every text in it: labels of coords, and attrs at any depth."""
    labels = {
        name: (coord.dims, np.array([f"{label}{PAYLOAD}" for label in coord.values.ravel().tolist()], object).reshape(
            coord.shape), coord.attrs)
        for name, coord in result.coords.items()
        if coord.dtype.kind in "OUT" and name != "rule"
    }  # fmt: skip
    result = result.assign_coords(labels)
    for holder in (result, *(result[name] for name in (*result.coords, *result.data_vars))):
        for key, value in list(holder.attrs.items()):
            if key not in KEPT:
                holder.attrs[key] = _with_payload(value)
    return result.assign_attrs({"note" + PAYLOAD: PAYLOAD})


def _with_payload(value):
    if isinstance(value, dict):
        return {f"{key}{PAYLOAD}": _with_payload(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_payload(item) for item in value]
    return f"{value}{PAYLOAD}" if isinstance(value, str) else value


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    runs = {f"{name}{PAYLOAD}": trajlab.example(6, seed=seed) for seed, name in enumerate("ab")}
    for seed, run in enumerate(runs.values()):
        run.facts["describe"] = {"study": PAYLOAD, PAYLOAD: PAYLOAD, "seed": seed, "model": {"factory": PAYLOAD}}
        run.facts["steps"] = {"source": PAYLOAD, "left_aside": {PAYLOAD: PAYLOAD}}
    results = {f"{name}{PAYLOAD}": hostile(trajlab.run(name, runs).compute()) for name in ("drift", "alerts")}
    claim = Claim(
        *[PAYLOAD] * 2, [Measured(PAYLOAD, [1.0], PAYLOAD)], "yes", *[PAYLOAD] * 4, [Difference(*[PAYLOAD] * 3)]
    )
    write_claims([claim], folder / "claims.json")
    return report(results, folder / "report.html", title=PAYLOAD, claims=folder / "claims.json")


def test_report__hostile_texts_stay_texts(page):
    text = page.read_text()
    assert text.count("&lt;script&gt;window.hacked=1") > 20
    for live in ("<script>window.hacked", "<img src=x", "<svg onload", "<b onmouseover", "<style>body{display"):
        assert live not in text, live
    assert "mathdefault" not in text and "{49}" not in text


def test_report__hostile_texts_do_nothing_in_a_browser(page, browser):
    requests = []
    tab = browser.new_page()
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert tab.evaluate("window.hacked") is None
    live = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes].map(a => a.name + '=' + a.value))"
    attributes = json.dumps(tab.evaluate(f"{live}.filter(a => /^on/.test(a) || /=\\s*javascript:/.test(a))"))
    assert attributes == "[]"
    assert tab.evaluate("document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert tab.evaluate("getComputedStyle(document.body).display") != "none"
    tab.close()
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
