"""What tests of figures share: a study of two runs, and no window."""

import numpy as np
import pytest
from matplotlib import pyplot

import trajlab

pyplot.switch_backend("Agg")


def walk(seed):
    """The example, with a layer on the plane."""
    run = trajlab.example(seed=seed)
    plane = np.random.default_rng(seed).standard_normal((21, 3, 2)).cumsum(0)
    metrics = {"epoch": run.metrics["epoch"].values}
    return trajlab.from_arrays({**run.weights, "plane.weight": plane}, run.gradients, metrics=metrics)


@pytest.fixture
def study():
    """Two runs of two optimizers."""
    runs = {"adam-0": walk(0), "sgd-0": walk(1)}
    for name, run in runs.items():
        run.facts["describe"] = {"optimizer": name.partition("-")[0], "seed": 0}
    return runs


@pytest.fixture
def relative(study):
    return trajlab.run("drift", study).compute()
