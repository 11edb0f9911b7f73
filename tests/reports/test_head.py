import re
import warnings

import numpy as np
import xarray as xr

import trajlab
from tests.reports.runs import moving, named
from trajlab.reports.page import report
from trajlab.running.compute import write


def test_report__reads_a_folder_of_results_and_names_the_study(tmp_path):
    run = moving(3, w=1.0)
    run.facts["describe"] = {"study": "walks", "optimizer": "sgd", "seed": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trajlab.run("drift", {"one": run}).compute().to_zarr(tmp_path / "results/drift.zarr", zarr_format=3)

    page = report(tmp_path / "results", tmp_path / "r.html").read_text()

    assert "<h1>walks</h1>" in page
    assert "16 entries in 1 tensor" in page


def test_report__of_several_studies_is_named_after_what_they_share(tmp_path):
    for study in ("mnist", "spirals"):
        runs = {f"{lr}": named(moving(3, w=lr), study=f"looking/{study}", lr=lr) for lr in (0.1, 0.2, 0.3)}
        write({tmp_path / "all" / study / "drift.zarr": trajlab.run("drift", runs).compute()})

    page = report(tmp_path / "all", tmp_path / "r.html").read_text()
    one = report(tmp_path / "all" / "mnist", tmp_path / "one.html").read_text()

    assert "<h1>looking</h1>" in page
    assert "<h1>looking/mnist</h1>" in one
    assert "6 runs, 2 studies and 3 learning rates" in page
    table = page.partition('id="runs"')[2].partition("</table>")[0]
    assert '<td class="word">mnist</td><td>0.1</td>' in table


def test_report__of_unlike_studies_is_named_after_their_folder(tmp_path):
    for study in ("mnist", "spirals"):
        run = named(moving(3, w=1.0), study=study)
        write({tmp_path / "all" / study / "drift.zarr": trajlab.run("drift", {"a": run}).compute()})

    assert "<h1>all</h1>" in report(tmp_path / "all", tmp_path / "r.html").read_text()


def test_report__shows_no_parents_among_what_sets_runs_apart(tmp_path):
    parents = {"a": "", "b": "", "b2": "a", "b3": "b"}
    runs = {
        name: named(moving(3, w=1.0), variant=name[0], seed=i, parent=parent, parent_step="0" if parent else "")
        for i, (name, parent) in enumerate(parents.items())
    }

    page = report({"drift": trajlab.run("drift", runs).compute()}, tmp_path / "r.html").read_text()

    header = page.partition('id="runs"')[2].partition("</thead>")[0]
    assert re.findall(r"<th(?: [^>]*)?>(.*?)</th>", header) == ["run", "variant", "seed"]


def test_report__has_the_steps_of_the_snapshots_not_of_the_log(tmp_path):
    weights = {"w": np.arange(12.0).reshape(3, 2, 2)}
    run = trajlab.from_arrays(weights, steps=[100, 200, 300])
    run.metrics = xr.Dataset({"loss": ("step", np.linspace(2, 1, 90))}, {"step": 5 * np.arange(90)})
    alerts = trajlab.run("alerts", run).compute()
    for results in ({"alerts": alerts}, {"alerts": alerts, "drift": trajlab.run("drift", run).compute()}):
        page = report(results, tmp_path / "r.html", overwrite=True).read_text()
        assert "steps 100 to 300" in page and "steps 0 to 445" not in page
    log = trajlab.from_arrays({}, metrics={"loss": np.linspace(2, 1, 90)})
    page = report({"alerts": trajlab.run("alerts", log).compute()}, tmp_path / "log.html").read_text()
    assert "steps 0 to 89" in page


def test_report__has_no_heading_about_gradients_without_gradients(example, tmp_path):
    weights = trajlab.from_arrays({name: array.values for name, array in example.weights.items()})
    for run, heading in ((weights, False), (example, True)):
        results = {name: trajlab.run(name, run).compute() for name in ("drift", "spectrum", "sign_flips")}
        page = report(results, tmp_path / "r.html", overwrite=True).read_text()
        headings = re.findall(r"<h2>(.*)</h2>", page)
        assert any("gradients" in text for text in headings) == heading
        assert len(headings) == len(set(headings))
        assert page.count('id="sign_flips"') == 1


def test_report__the_first_snapshot_is_not_an_earlier_step_of_the_log(tmp_path):
    rng = np.random.default_rng(0)
    run = trajlab.from_arrays({"w": rng.standard_normal((12, 4, 4))}, steps=np.arange(10, 130, 10))
    run.metrics = xr.Dataset({"loss": ("step", rng.standard_normal(24))}, {"step": np.arange(4, 124, 5)})
    results = {name: trajlab.run(name, run).compute() for name in ("drift", "change_points")}
    assert results["change_points"]["step"].values[0] == 4

    page = report(results, tmp_path / "r.html").read_text()

    assert "steps 10 to 120" in page and "the first snapshot is of step 10" in page
