import numpy as np

import trajlab
from trajlab.reports.findings import change_points, findings, headlines
from trajlab.statistics.unusual import Unusual


def test_findings__tell_the_changes_furthest_from_their_past(rng):
    gradients = {name: rng.standard_normal((200, 6, 5)) for name in ("a.weight", "b.weight")}
    gradients["b.weight"][120:] *= 50
    loss = np.exp(0.1 * rng.standard_normal(200))
    loss[80] = 30.0
    run = trajlab.from_arrays({}, gradients, metrics={"loss": loss})
    result = trajlab.run("change_points", run).compute()
    said = findings(result)
    assert said[0].text.startswith("Step 80: `loss` rose ") and "for a moment (" in said[0].text
    assert said[1].text.startswith("Step 120: the gradient norm of `b.weight` rose ")
    assert "then 1 other changed within 5 steps" in said[1].text
    assert said[0].surprise > said[1].surprise > 1
    assert headlines(result)["total_changes"] == 3
    both = findings(trajlab.run("change_points", {"x": run, "y": run}).compute())
    assert " in run `x`: " in both[0].text and both[-1].text == "In all, 4 times at which something changed in 2 runs."


def test_findings__say_that_nothing_changed(rng):
    runs = {name: trajlab.from_arrays({}, metrics={"loss": np.exp(0.1 * rng.standard_normal(99))}) for name in "ab"}
    (finding,) = findings(trajlab.run("change_points", runs).compute())
    assert finding.text == "No weight norm, update, gradient norm or metric of any of 2 runs ever left its own past."
    assert finding.surprise == 0


def test_findings__of_few_values_say_that_no_change_can_be_told(rng):
    result = trajlab.run("change_points", trajlab.from_arrays({"w": rng.standard_normal((11, 3))})).compute()
    (finding,) = findings(result)
    assert finding.text == "No change can be told: no series has more than 11 values."
    assert np.isnan(headlines(result).get("total_changes", np.nan))


def test_findings__pass_over_changes_in_the_last_digits(rng, monkeypatch):
    loss = np.exp(0.1 * rng.standard_normal(200))
    loss[80] = 30.0
    result = trajlab.run("change_points", trajlab.from_arrays({}, metrics={"loss": loss})).compute()
    for after, text in ((1.00001, "What left its own past changed by less"), (0.5, "Step 3: ")):
        event = Unusual(3, "loss", "metric", "jump", 9.0, 1.0, after)
        monkeypatch.setattr(change_points, "unusual_before", lambda *_, event=event, **__: [event])
        assert [finding.text.startswith(text) for finding in findings(result)] == [True]
