import re

import numpy as np
import pytest

import trajlab
from tests.reports.runs import STAGES, moving, plain
from trajlab.reports.page import report
from trajlab.statistics.wording import number


def test_report__folds_all_but_the_first_two_figures_of_a_section(page):
    _, drift = page.split('<section id="drift">')
    drift = drift.partition("</section>")[0]
    opened, _, folded = drift.partition("<details>")

    assert re.findall(r'<figure id="([\w-]+)"', opened) == ["drift-relative", "drift-total"]
    assert "drift-straightness" in re.findall(r'<details>\s*<summary>.*</summary>\s*<figure id="([\w-]+)"', drift)
    assert "<details open" not in drift


def test_report__asks_the_question_of_each_stage(page):
    assert "Did this layer move, how far" in page
    assert "Does the optimizer oscillate" in page


def test_report__shows_a_users_own_stage(tmp_path, example):
    def largest(weight):
        return abs(weight).max(weight.dims[1:])

    page = report({"largest": trajlab.run(largest, example).compute()}, tmp_path / "r.html").read_text()

    assert 'id="largest-largest"' in page


def _broken(kind):
    weights = {"a.weight": np.ones((4, 3, 3)), "a.bias": np.zeros((4, 3))}
    gradients = {"a.weight": np.zeros((4, 3, 3))}
    if kind == "nan":
        return trajlab.from_arrays(
            {n: v * np.nan for n, v in weights.items()}, {"a.weight": np.full((4, 3, 3), np.nan)}
        )
    length = {"still": 4, "one step": 1}[kind]
    return trajlab.from_arrays(*({n: v[:length] for n, v in group.items()} for group in (weights, gradients)))


@pytest.mark.parametrize("kind", ["nan", "still", "one step"])
@pytest.mark.parametrize("stacked", [False, True])
def test_report__copes_with_runs_in_which_nothing_is_known(tmp_path, kind, stacked):
    run = {"a": _broken(kind), "b": _broken(kind)} if stacked else _broken(kind)

    page = report({name: trajlab.run(name, run).compute() for name in STAGES}, tmp_path / "r.html").read_text()

    assert ">nan" not in page.lower().replace("nan or inf", "")


def test_report__shows_groups_where_runs_are_many(tmp_path):
    runs = {f"r{i}": moving(3, w=1.0 + i, v=0.5) for i in range(14)}
    for i, run in enumerate(runs.values()):
        run.facts["describe"] = {"init": "xy"[i % 2], "seed": i // 2}

    page = report({"drift": trajlab.run("drift", runs).compute()}, tmp_path / "r.html").read_text()

    assert "x ×7" in page
    assert "14 runs, 2 inits and 7 seeds" in page
    table = page.partition("In numbers")[2]
    assert "<td>x ×7</td><td>4.96<small>0.791 to 9.2</small></td>" in table  # sqrt((v² + 0.5²) / 2) for v = 7, 1 and 13
    assert re.findall(r"<td>(r\d+)</td>", table) == [f"r{i}" for i in [*range(0, 14, 2), *range(1, 14, 2)]]


def test_report__names_the_layer_whose_filters_a_section_shows(tmp_path):
    kernels = np.ones((2, 3, 1, 2, 2))
    run = trajlab.from_arrays({"conv1.weight": kernels, "conv2.weight": kernels})
    results = {
        f"filters_{name}": trajlab.run("filters", run, parameter=f"{name}.weight").compute()
        for name in ("conv1", "conv2")
    }

    page = report(results, tmp_path / "r.html").read_text()

    titles = re.findall(r'<section id="([^"]+)">\s*<h3>(.*)</h3>', page)
    assert titles == [(f"filters_{name}", f"filters of {name}.weight") for name in ("conv1", "conv2")]
    assert plain(page).count("filters of a layer detect") == 2


def test_report__has_a_table_by_layer_in_network_order(tmp_path, example):
    result = trajlab.run("drift", example).compute()
    page = report({"drift": result}, tmp_path / "r.html").read_text()

    table = page.partition("<summary>By parameter</summary>")[2].partition("</table>")[0]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in table.split("<tr>")[2:]]
    assert [row[0] for row in rows] == list(example.weights)
    columns = re.findall(r"<th[^>]*>(.*?)</th>", table)
    moved = columns.index("relative distance from the start")
    assert rows[0][moved] == number(float(result.relative.isel(step=-1, parameter=0)))
