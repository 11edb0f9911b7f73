import numpy as np

import trajlab
from trajlab.reports.findings import findings, headlines

SETTINGS = {"lr": 0.1, "beta1": 0.5, "beta2": 0.5, "eps": 0.0, "amsgrad": 0}


def run(first, second, gradient=None, **settings):
    weights = {"a.weight": np.ones((3, 4, 4)), "b.weight": np.ones((3, 4, 4)), "b.bias": np.full((3, 4), 1e-9)}
    moments = {
        "exp_avg": {"a.weight": first, "b.weight": 0.01 * first, "b.bias": first[:, 0]},
        "exp_avg_sq": {"a.weight": second, "b.weight": second, "b.bias": second[:, 0]},
    }
    gradients = None if gradient is None else {"a.weight": gradient}
    return trajlab.from_arrays(
        weights,
        gradients,
        moments=moments,
        hyperparameters=SETTINGS | {"updates": np.array([1.0, 2.0, 3.0])} | settings,
    )


def texts(trajectory):
    return [finding.text for finding in findings(trajlab.run("optimizer_state", trajectory).compute())]


def test_findings__say_which_layer_moves_most_and_leave_out_biases():
    sentences = texts(run(np.ones((3, 4, 4)), np.ones((3, 4, 4))))
    assert sentences == [
        "The last update is 11 % of the weights' norm in `a.weight`, the most of all, and 0.11 % in `b.weight`, the "
        "least."
    ]


def test_findings__say_that_second_moments_are_out_of_date():
    ones, gradient = np.ones((3, 4, 4)), np.ones((3, 4, 4))
    sentences = texts(run(ones, 0.5 * ones, gradient))
    assert any(text.startswith("Second moments keep up") for text in sentences)
    sentences = texts(run(ones, 1e-3 * ones, gradient, beta2=0.99, updates=np.array([100.0, 101.0, 102.0])))
    assert any(text.startswith("Second moments are out of date at step") and "`a.weight`" in text for text in sentences)


def test_findings__say_which_entries_never_had_a_gradient_and_which_had_none_lately():
    first, second = np.ones((3, 4, 4)), np.ones((3, 4, 4))
    first[:, :2], second[:, :2] = 0.0, 0.0
    second[:, 3] = 0.5 ** np.arange(3)[:, None]
    sentences = texts(run(first, second))
    assert any("of the entries never had a gradient: their moments are exactly 0; the largest" in t for t in sentences)
    assert any("had no gradient between the last two snapshots: it only faded." in text for text in sentences)


def test_headlines__are_totals():
    result = trajlab.run("optimizer_state", run(np.ones((3, 4, 4)), np.ones((3, 4, 4)))).compute()
    assert float(headlines(result)["update_ratio"]) > 0


def test_findings__of_a_schedule_that_ends_at_zero_are_of_the_step_before():
    trajectory = run(np.ones((3, 4, 4)), np.ones((3, 4, 4)), lr=np.array([0.1, 0.1, 0.0]))
    assert texts(trajectory)[0].startswith("The last update that is known, at step 1, is ")
