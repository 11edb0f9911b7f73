import re
from typing import NamedTuple

import numpy as np

import trajlab
from tests.reports.runs import plain
from trajlab.reports.findings import findings
from trajlab.reports.findings.finding import Finding
from trajlab.reports.outline import MOST, MOST_OF_A_SECTION, OTHERS, QUESTIONS, question, standing
from trajlab.reports.page import report
from trajlab.stages import stage_names


def test_report__groups_results_by_question_in_reading_order(results, tmp_path, example):
    def largest(weight):
        return abs(weight).max(weight.dims[1:])

    several = {"largest": trajlab.run(largest, example).compute(), "again": results["drift"]} | results
    page = report(dict(reversed(several.items())), tmp_path / "r.html").read_text()

    nav, main = page.split("<main")
    order = ["again", "drift", "projection", "distribution", "spectrum", "dead_neurons", "zero_gradients", "sign_flips"]
    assert re.findall(r'<section id="(\w+)">', main) == [*order, "largest"]
    headings = re.findall(r"<h2>(.*)</h2>", main)[1:]
    asked = list(dict.fromkeys(question(name) for name in order[1:]))
    assert [heading for heading in headings if not heading.endswith(("Runs", "run"))] == [*asked, OTHERS]
    assert re.findall(r'href="#([^"]+)">', nav)[-2:] == ["group-other-results", "largest"]


def test_report__asks_each_stage_one_question():
    placed = [name for stages in QUESTIONS.values() for name in stages]

    assert len(placed) == len(set(placed))
    assert set(placed) <= set(stage_names())


class Section(NamedTuple):
    title: str
    findings: list[Finding]


def test_standing__ranks_by_surprise_and_keeps_the_order_of_the_page_where_there_is_none():
    sections = [
        Section(
            "a",
            [Finding("a0"), Finding("a1", surprise=9.0), Finding("a2", surprise=8.0), Finding("a3", surprise=7.0)],
        ),
        Section("b", [Finding("b0"), Finding("b1", alarm=True), Finding("a1", surprise=50.0)]),
        Section("c", [Finding("c0", surprise=0.5), Finding("c1")]),
        Section("d", [Finding(f"d{i}", alarm=i > 1) for i in range(4)]),
    ]
    first, rest = standing(sections)
    assert [finding.text for _, finding in first] == ["b1", "d2", "d3", "a1", "a2", "b0", "c0"]
    assert [finding.text for _, finding in rest] == ["a0", "a3", "c1", "d0", "d1"]
    assert len(first) == MOST and MOST_OF_A_SECTION == 2
    assert standing([]) == ([], [])


def test_report__tells_seven_findings_at_the_top_the_others_one_click_away_and_all_in_the_sections(results, page):
    top, below = page.split('class="standing"')[1].split("<section", 1)
    first, others = top.split("<details>")
    said = {name: [finding.text.replace("`", "") for finding in findings(result)] for name, result in results.items()}

    assert first.count("<li") == MOST
    assert first.count("<li") + others.count("<li") == len({text for texts in said.values() for text in texts})
    for texts in said.values():
        assert [text for text in texts if text not in plain(top)] == []
        assert [text for text in texts if text not in plain(below)] == []


def test_report__says_what_is_broken_once_at_the_top(tmp_path):
    values = np.ones((6, 3, 3))
    values[4:, 0, 0] = np.nan
    run = trajlab.from_arrays({"w": values})
    result = trajlab.run("drift", run).compute()
    results = {"drift": result, "drift_again": result}
    alarm = "NaN or Inf among the weights from step 4 on"

    top, below = report(results, tmp_path / "r.html").read_text().split('class="standing"')[1].split("<section", 1)

    assert top.count(alarm) == 1
    assert below.count(alarm) == 2
