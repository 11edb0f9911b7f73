import csv
import json
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import trajlab
from tests.reports.runs import moving
from trajlab.errors import BadSetting, DamagedData, MissingData, OutputExists
from trajlab.figures import save
from trajlab.reports.page import report, summary
from trajlab.running.compute import write


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        inputs = dict(attrs)
        self.ids += [inputs["id"]] if "id" in inputs else []
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report__is_one_page_without_outside_requests(page):
    parsed = Page(page)

    assert parsed.open == []
    assert not [link for link in parsed.links if not link.startswith(("#", "data:"))]
    assert "<script" not in page
    assert "url(http" not in page


def test_report__links_every_sentence_to_a_figure_that_exists(page):
    parsed = Page(page)

    assert len(parsed.ids) == len(set(parsed.ids))
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)


def test_report__takes_the_colors_of_the_page(page):
    assert "prefers-color-scheme: dark" in page
    assert "fill: var(--ink)" in page
    assert "#2b2f36" not in page


def test_report__gives_the_same_bytes_for_the_same_results(results, tmp_path):
    pages = [report(results, tmp_path / f"{i}.html").read_bytes() for i in range(2)]

    assert pages[0] == pages[1]


def test_report__of_a_single_stored_result_is_a_page_of_one_stage(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trajlab.run("drift", moving(3, w=1.0)).compute().to_zarr(tmp_path / "drift.zarr", zarr_format=3)

    page = report(tmp_path / "drift.zarr", tmp_path / "r.html").read_text()

    assert "<h1>drift</h1>" in page
    assert 'id="drift-relative"' in page


def test_report__never_overwrites_silently(results, tmp_path):
    out = tmp_path / "r.html"
    out.write_text("mine")

    with pytest.raises(OutputExists, match="exists already"):
        report(results, out)
    assert out.read_text() == "mine"
    report({"drift": results["drift"]}, out, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_report__says_what_is_missing_or_of_another_version(results, tmp_path):
    with pytest.raises(MissingData, match="nothing.*run a stage"):
        report(tmp_path / "nothing", tmp_path / "r.html")
    with pytest.raises(MissingData, match="no results"):
        report(tmp_path, tmp_path / "r.html")
    other = results["drift"].assign_attrs(Conventions="trajlab-result-99")
    with pytest.raises(DamagedData, match="trajlab-result-99.*compute the stage again"):
        report({"drift": other}, tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_summary__gives_the_last_finite_value_of_each_run(tmp_path):
    runs = {"near": moving(4, w=0.5), "far": moving(4, w=2.0)}
    result = trajlab.run("drift", runs).compute()

    actual = summary({"drift": result})

    assert actual["near"]["drift"]["relative"] == pytest.approx(0.5)
    assert actual["far"]["drift"]["relative"] == pytest.approx(2.0)
    report({"drift": result}, tmp_path / "r.html", metrics=tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text()) == actual


def test_report__writes_the_medians_over_the_steps_for_dvc(tmp_path):
    runs = {f"w{speed}": moving(4, w=speed) for speed in (0.5, 1.0, 2.0)}
    result = trajlab.run("drift", runs, rtol=0.2).compute()
    report({"drift": result}, tmp_path / "r.html", plots=tmp_path / "plots")
    rows = list(csv.DictReader((tmp_path / "plots" / "drift.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3"]
    np.testing.assert_allclose([float(row["relative"]) for row in rows], np.linspace(0, 1.0, 4))
    assert rows[-1]["changed_tol"] and rows[0]["straightness"] == ""
    plain_numbers = summary({"drift": trajlab.run("drift", runs).compute()})
    assert "changed_tol" not in plain_numbers["w0.5"]["drift"]


def test_report__the_page_and_its_numbers_are_two_files(results, tmp_path):
    (tmp_path / "r.html").write_text("kept")
    with pytest.raises(BadSetting, match="--metrics"):
        report(results, tmp_path / "r.html", metrics=tmp_path / "." / "r.html", overwrite=True)
    assert (tmp_path / "r.html").read_text() == "kept"


@pytest.mark.parametrize("lost", ["relative", "total_straightness", "unchanged_cause"])
def test_report__a_result_without_a_variable_of_its_stage_is_named(results, tmp_path, lost):
    write({tmp_path / "drift.zarr": results["drift"].drop_vars(lost)})
    with pytest.raises(DamagedData, match=f"{tmp_path}.*lacks `{lost}`.*drift of trajlab.*again") as error:
        report(tmp_path, tmp_path / "r.html")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["foreign", "garbage", "codec", "chunk"])
def test_report__and_figure_name_a_store_that_is_no_result(results, tmp_path, damage):
    folder = tmp_path / "drift.zarr"
    if damage == "foreign":
        xr.Dataset({"x": ("step", [1.0, 2.0])}).to_zarr(folder, zarr_format=3, consolidated=False)
    else:
        write({folder: results["drift"]})
        path, text = folder / "zarr.json", (folder / "zarr.json").read_text()
        if damage == "chunk":
            path = min((folder / "total_norm" / "c").iterdir())
        path.write_text({"garbage": "{", "codec": text.replace('"zstd"', "[1]"), "chunk": ""}[damage])
    for look in (lambda: report(tmp_path, tmp_path / "r.html"), lambda: save(folder, tmp_path / "x.png")):
        with pytest.raises(DamagedData, match=str(folder)) as error:
            look()
        assert "\n" not in str(error.value)
    assert not (tmp_path / "r.html").exists() and not (tmp_path / "x.png").exists()
