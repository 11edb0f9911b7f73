import numpy as np

import trajlab
from trajlab.reports.findings import findings


def test_findings__say_which_layers_starve_and_how_the_gradient_shrank(rng):
    shapes = {"first.weight": 1e-5, "last.weight": 1.0, "last.bias": 1e-9}
    fade = np.geomspace(1, 0.01, 50)[:, None, None]
    gradients = {name: size * fade * rng.choice([-1, 1], (50, 4, 4)) for name, size in shapes.items()}

    texts = [
        finding.text
        for finding in findings(trajlab.run("gradient_statistics", trajlab.from_arrays({}, gradients)).compute())
    ]

    assert "one of `first.weight` the smallest" in texts[0]
    assert "1 weight of 2 get less than a thousandth of the largest" in texts[0]
    assert texts[1].startswith("The norm of the gradient fell: ")
    assert "have little in common: the median angle between them is 9" in texts[2]


def test_findings__do_not_average_runs_whose_gradients_turn_otherwise():
    swing = np.where(np.arange(20) % 2, 1.0, -1.0)[:, None, None]
    rows = {"along": np.ones((20, 1, 1)), "back": swing}
    runs = {name: trajlab.from_arrays({}, {"w": row * np.ones((20, 3, 3))}) for name, row in rows.items()}

    texts = [finding.text for finding in findings(trajlab.run("gradient_statistics", runs).compute())]

    assert (
        "Successive gradients agree in run `along`, with a median angle of 0°, and swing back in run `back`, with 180°."
    ) in texts


def test_findings__say_that_no_gradient_arrives_and_where_it_spikes():
    gradients = {"a.weight": np.zeros((30, 2, 2)), "b.weight": np.ones((30, 2, 2))}
    gradients["b.weight"][20] = 50

    sentences = findings(trajlab.run("gradient_statistics", trajlab.from_arrays({}, gradients)).compute())

    texts = [finding.text for finding in sentences]
    assert texts[0] == "No gradient reaches 1 weight at the end, the first being `a.weight`."
    assert "At step 20 the norm of the gradient is 50 times its median." in texts
    assert any("Successive gradients agree: the median angle between them is 0°" in text for text in texts)
