"""Which task gets which rows, with a network that gives back what it is given."""

import dask
import dask.array as da
import numpy as np
import pytest

from trajlab.replays.tasks import Passes
from trajlab.runs.tensors import Series


class Echo:
    """Stands for a network: returns the rows of its tensors and the samples of a task."""

    def watched(self, inputs, targets, tables, rows, requests):
        weights = [np.asarray(table)[row] for table, row in zip(tables, rows, strict=True)]
        return [
            [np.concatenate([*weights, np.ravel(inputs), np.ravel(0 if targets is None else targets)])]
            for _ in requests
        ]


def results(passes):
    graph, parts = passes.graph("request")
    table = graph.array(
        "all", (len(parts), 1), lambda found: np.array([one[0][0].tolist() for one in found], object), parts
    )
    with dask.config.set(scheduler="sync"):
        return [list(map(float, row)) for row in table.compute().tolist()]


def walk(steps, first, lazy):
    values = first + np.arange(len(steps), dtype=float)[:, None]
    return Series(np.array(steps), da.from_array(values, chunks=(2, 1)) if lazy else values, (1,))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("lazy_probe", [False, True])
def test_passes__each_step_gets_its_own_rows_and_all_samples(lazy, lazy_probe):
    lives = [walk([0, 5, 10, 15], 0.0, lazy), walk([0, 10, 15], 100.0, lazy)]
    inputs, targets = np.array([7.0, 8.0]), np.array([1.0])
    probe = tuple(da.from_array(part, chunks=1) if lazy_probe else part for part in (inputs, targets))
    passes = Passes("echo", Echo(), probe, lives, np.array([0, 10, 15]))
    assert results(passes) == [[0, 100, 7, 8, 1], [2, 101, 7, 8, 1], [3, 102, 7, 8, 1]]


@pytest.mark.parametrize("lazy", [False, True])
def test_passes__inputs_of_each_step_are_that_steps_alone(lazy):
    inputs = np.array([[1.0, 2.0], [3.0, 4.0]])
    inputs = da.from_array(inputs, chunks=(2, 1)) if lazy else inputs
    passes = Passes("echo", Echo(), (inputs, None), [walk([0, 5], 0.0, lazy)], np.array([0, 5]), stepwise=True)
    assert results(passes) == [[0, 1, 2, 0], [1, 3, 4, 0]]


def test_passes__one_task_a_step_whatever_the_number_of_tensors():
    lives = [walk(range(20), float(i), False) for i in range(50)]
    graph, parts = Passes("echo", Echo(), (np.zeros(3), None), lives, np.arange(20)).graph("request")
    assert len(parts) == 20 and len(graph._tasks) == 20
