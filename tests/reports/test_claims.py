import json

import numpy as np
import pytest

import trajlab
from tests.reports.test_page import Page, moving
from trajlab.errors import DamagedData, MissingData
from trajlab.reports.claims import Claim, Difference, Measured, measured_text, read_claims, write_claims
from trajlab.reports.page import report
from trajlab.running.compute import write

CLAIMS = [
    Claim("All layers <move>.", "over 90 %", [Measured("changed", [0.2, np.nan], "share")], "no", "Short.", "drift"),
    Claim("One moves.", "some", [Measured("layers", np.array([1.0]), "layers")], "yes", figure="drift/none"),
    Claim("Both.", "", [], "partly"),
]


@pytest.fixture
def file(tmp_path):
    write_claims(CLAIMS, tmp_path / "claims" / "c.json")
    return tmp_path / "claims" / "c.json"


def test_claims__come_back_as_they_were_written(file):
    actual = read_claims(file)

    assert [claim.claim for claim in actual] == [each_claim.claim for each_claim in CLAIMS]
    np.testing.assert_array_equal(actual[0].measured[0].values, [0.2, np.nan])
    assert json.loads(file.read_text())[0]["measured"][0]["values"] == [0.2, None]


@pytest.mark.parametrize("text", ["{", "[1]", '[{"claim": "x"}]', "no"])
def test_read_claims__says_what_is_no_claim(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DamagedData, match="c.json.*write the file again"):
        read_claims(tmp_path / "c.json")
    with pytest.raises(MissingData, match="there is no such file"):
        read_claims(tmp_path / "d.json")


def test_read_claims__knows_three_verdicts(tmp_path):
    write_claims([CLAIMS[0]._replace(holds="perhaps")], tmp_path / "c.json")
    with pytest.raises(DamagedData, match="perhaps"):
        read_claims(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.5], "0.5"),
        ([1, 2, 4], "2 (1 to 4, 3 runs)"),
        ([3, 3], "3 (the same in 2 runs)"),
        ([3, np.nan, 5], "4 (3 to 5, 2 runs, unknown in 1)"),
        ([3, np.nan], "3 (1 run, unknown in 1)"),
        ([np.nan], "unknown"),
    ],
)
def test_told__gives_median_and_spread(values, text):
    assert measured_text(Measured("x", values)) == text


def test_report__shows_claims_first_and_leads_to_what_is_there(file, tmp_path):
    results = {"drift": trajlab.run("drift", moving(3, a=1.0, b=0.5)).compute()}
    page = report(results, tmp_path / "r.html", claims=file).read_text()
    parsed = Page(page)

    assert page.index('id="claims"') < page.index('id="standing"')
    assert "All layers &lt;move&gt;." in page and "<dt>changed</dt><dd>20\xa0% (1 run, unknown in 1)</dd>" in page
    assert "1 ✓ holds · 1 ◐ in part · 1 ✗ does not hold" in page
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)
    assert page.count('<a href="#drift">figure →</a>') == 1
    assert 'id="claims"' not in report(results, tmp_path / "s.html").read_text()


def test_report__of_several_studies_tells_them_apart(tmp_path):
    for study, layers in {"small": {"a": 1.0}, "large": {"a": 1.0, "b": 0.5}}.items():
        runs = {f"{study}-{seed}": moving(3, **layers) for seed in (0, 1)}
        for seed, run in enumerate(runs.values()):
            run.facts["describe"] = {"study": study, "model": study, "seed": seed}
        write({tmp_path / "all" / study / "drift.zarr": trajlab.run("drift", runs)})
    page = report(tmp_path / "all", tmp_path / "r.html").read_text()

    assert 'id="small-drift"' in page and "<h3>drift of large</h3>" in page
    assert "4 runs, 2 studies and 2 seeds" in page
    assert all(f"<td>{study}-{seed}</td>" in page for study in ("small", "large") for seed in (0, 1))
    assert "up to 32 entries in up to 2 tensors" in page


def test_report__counts_claims_in_plain_words(tmp_path):
    write_claims([CLAIMS[0], CLAIMS[0], CLAIMS[1], CLAIMS[1], CLAIMS[2]], tmp_path / "c.json")
    results = {"drift": trajlab.run("drift", moving(3, a=1.0)).compute()}

    page = report(results, tmp_path / "r.html", claims=tmp_path / "c.json").read_text()

    assert "2 ✓ hold · 1 ◐ in part · 2 ✗ do not hold" in page


def test_report__shows_the_verdict_and_what_differs(tmp_path):
    differences = [Difference("epochs", "50", "5"), Difference("batch_size", "unknown in the source", "64")]
    stated = [
        CLAIMS[0]._replace(verdict="repeated in a smaller size", differences=differences),
        CLAIMS[1]._replace(verdict="repeated"),
        CLAIMS[2],
    ]
    write_claims(stated, tmp_path / "c.json")
    assert read_claims(tmp_path / "c.json")[0].differences == differences
    results = {"drift": trajlab.run("drift", moving(3, a=1.0)).compute()}
    page = report(results, tmp_path / "r.html", claims=tmp_path / "c.json").read_text()

    assert "<strong>Repeated in a smaller size</strong>, as far as the source states" in page
    assert "<td>epochs</td><td>50</td><td>5</td>" in page
    assert "<strong>Repeated</strong></p>" in page
    assert page.count("<th>Published</th>") == 1


def test_read_claims__of_a_file_without_verdicts_leaves_them_empty(tmp_path):
    write_claims(CLAIMS, tmp_path / "c.json")
    rows = json.loads((tmp_path / "c.json").read_text())
    for row in rows:
        del row["verdict"], row["differences"]
    (tmp_path / "c.json").write_text(json.dumps(rows))

    assert [(claim.verdict, claim.differences) for claim in read_claims(tmp_path / "c.json")] == [("", [])] * 3
