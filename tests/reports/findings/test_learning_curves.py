import numpy as np

import trajlab
from trajlab.reports.findings import findings, headlines


def texts(**metrics):
    run = trajlab.from_arrays({}, metrics=metrics)
    return [finding.text for finding in findings(trajlab.run("learning_curves", run, smoothing=0.0).compute())]


def test_findings__say_how_the_loss_fell_and_where_validation_was_best():
    assert texts(loss=[4.0, 2.0, 1.0], eval_loss=[3.0, 2.0, 3.0]) == [
        "The training loss fell from 4 at step 0 to 1 at step 2 (smoothed).",
        "The validation loss was lowest, 2 at step 1, and ends 50 % above that, at 3.",
    ]
    assert texts(loss=[1.0, 2.0], eval_loss=[3.0, 2.0]) == [
        "The training loss rose from 1 at step 0 to 2 at step 1 (smoothed).",
        "The validation loss is lowest at the end: 2 at step 1.",
    ]


def test_findings__say_that_a_loss_is_nan():
    assert texts(loss=[4.0, np.inf, 1.0])[0] == "`loss` is NaN or Inf from step 1 on."


def test_findings__compare_runs():
    runs = {name: trajlab.from_arrays({}, metrics={"loss": [4.0, end]}) for name, end in (("a", 1.0), ("b", 3.0))}
    result = trajlab.run("learning_curves", runs, smoothing=0.0).compute()
    text = "The training loss ends lowest in run `a`, 1, and highest in run `b`, 3 (smoothed)."
    assert [finding.text for finding in findings(result)] == [text]
    assert headlines(result)["final_training_loss"].values.tolist() == [1.0, 3.0]


def test_findings__of_other_metrics_are_none():
    assert texts(epoch=[0.0, 1.0]) == []
