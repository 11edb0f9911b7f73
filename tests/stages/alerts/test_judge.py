import numpy as np

from trajlab.stages.alerts.evidence import Evidence
from trajlab.stages.alerts.judge import judge
from trajlab.stages.alerts.rule import Rule, Verdict


def large(size, *, limit=1.0):
    return Verdict(size, size > limit)


RULES = [Rule("Large", "sizes", (large,)), Rule("Odd", "odd things", (lambda odd: Verdict(odd, odd > 0),))]


def evidence(place, steps, size):
    return Evidence(place, "weight", {"steps": np.array(steps), "size": np.array(size, float)})


def test_judge__by_hand():
    found = [evidence("a", [0, 10, 20, 30], [2, 0, 2, 2]), evidence("b", [10, 30], [0, np.nan])]
    result = judge(found, RULES, {"limit": 1.0})
    assert result.step.values.tolist() == [0, 10, 20, 30] and result.check.values.tolist() == ["Large a", "Large b"]
    np.testing.assert_array_equal(result.fires.T, [[1, 0, 1, 1], [np.nan, 0, np.nan, np.nan]])
    np.testing.assert_array_equal(result.first_step, [0, np.nan])
    np.testing.assert_array_equal(result.last_step, [30, np.nan])
    assert result.duration.values.tolist() == [2, 0]
    assert result.fired.values.tolist() == [1, 0] and result.checked.values.tolist() == [2, 0]
    assert result.rules_fired == 1 and result.reason.values.tolist() == ["", "the run has no odd things"]


def test_judge__thresholds_are_those_of_the_settings_or_of_the_rule():
    found = [evidence("a", [0, 10], [3, 0])]
    assert judge(found, RULES, {"limit": 5.0}).fired[0] == 0 and judge(found, RULES, {}).fired[0] == 1


def test_judge__of_too_few_values_and_of_nothing_gives_reasons():
    few = judge([evidence("a", [0], [np.nan])], RULES, {})
    assert few.reason.values[0] == "the run has too few snapshots or values"
    nothing = judge([], RULES, {})
    assert nothing.sizes["check"] == nothing.sizes["step"] == 0 and nothing.checked.values.tolist() == [0, 0]
