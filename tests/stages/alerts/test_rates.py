"""How often each rule fires in twenty healthy and in twenty sick runs; `python -m tests.stages.alerts.test_rates`."""

from collections import Counter

import pytest

import trajlab
from tests.stages.alerts.cases import HEALTHY, SICK, Case


def rules_fired(case: Case, published: bool = False) -> set[str]:
    result = trajlab.run("alerts", case.train(), published=published).compute(scheduler="sync")
    return {str(rule) for rule in result["rule"].values[result["fired"].values > 0]}


def table(published: bool = False) -> str:
    """Write a row for each rule: in how many healthy runs it fires, and in how many of each sickness."""
    healthy = Counter(rule for case in HEALTHY for rule in rules_fired(case, published))
    sick = [(case, rules_fired(case, published)) for case in SICK]
    kinds = Counter(case.sickness for case in SICK)
    counts = Counter((case.sickness, rule) for case, fired in sick for rule in fired)
    rules = sorted({*healthy, *(rule for _, fired in sick for rule in fired)})
    lines = [" | ".join(["rule", f"healthy of {len(HEALTHY)}", *(f"{kind} of {n}" for kind, n in kinds.items())])]
    lines += [" | ".join([rule, str(healthy[rule]), *(str(counts[kind, rule]) for kind in kinds)]) for rule in rules]
    return "\n".join(lines)


def test_cases__are_twenty_of_each_and_cover_eight_sicknesses():
    assert len(HEALTHY) == len(SICK) == 20
    assert len({case.sickness for case in SICK}) == 8


@pytest.mark.parametrize("case", [SICK[0], SICK[9], SICK[16]], ids=lambda case: case.sickness)
def test_alerts__catch_what_ails_a_run(case):
    assert rules_fired(case) & set(case.rules)


@pytest.mark.slow
def test_alerts__are_quiet_in_nineteen_of_twenty_healthy_runs_and_catch_each_sick_one():
    fired = Counter(rule for case in HEALTHY for rule in rules_fired(case))
    assert not {rule: n for rule, n in fired.items() if n > 1}
    assert [case.sickness for case in SICK if not rules_fired(case) & set(case.rules)] == []


@pytest.mark.slow
def test_alerts__as_published_cry_wolf():
    """What the default rules are for: if this fails, they are no longer needed."""
    assert sum("LossNotDecreasing" in rules_fired(case, published=True) for case in HEALTHY[:8]) == 8


if __name__ == "__main__":
    for form in (False, True):
        print(f"{'as published' if form else 'by default'}\n{table(form)}\n")
