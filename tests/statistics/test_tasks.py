import numpy as np
import pytest

from trajlab.errors import BadSetting
from trajlab.statistics.tasks import Coding, Task, coding_of, settled, task_for


@pytest.mark.parametrize(
    ("output", "axis", "targets", "expected"),
    [
        ((5, 3), 1, np.zeros(5, int), Task("cross_entropy", 3)),
        ((5, 3, 4, 4), 1, np.zeros((5, 4, 4), int), Task("cross_entropy", 3)),
        ((5, 7, 3), 2, np.zeros((5, 7), int), Task("cross_entropy", 3)),
        ((5, 1), 1, np.zeros(5, int), Task("binary", 1)),
        ((5, 1), 1, np.zeros((5, 1), bool), Task("binary", 1)),
        ((5, 1, 4, 4), 1, np.zeros((5, 4, 4), np.uint8), Task("binary", 1)),
        ((5, 3), 1, np.zeros((5, 3), int), Task("multilabel", 3)),
        ((5, 3), 1, np.zeros((5, 3), np.float16), Task("", 3)),
        ((5, 1), 1, np.zeros(5, np.float64), Task("", 1)),
    ],
)
def test_task_for__goes_by_shape_and_type(output, axis, targets, expected):
    assert task_for(output, axis, targets) == expected


@pytest.mark.parametrize("targets", [np.zeros(4, int), np.zeros((5, 2), int), np.zeros((5, 2)), np.zeros(5, complex)])
def test_task_for__targets_that_fit_in_no_way_are_refused(targets):
    with pytest.raises(BadSetting, match="targets are"):
        task_for((5, 3), 1, targets)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([0, 1, 1], Coding(0.0, True, 1.0)), ([-1, 1], Coding(-1.0, True, 1.0)), ([0, 1, -1], Coding(0.0, False, 1.0)),
        ([0.0, 1.0, np.nan], Coding(0.0, True, 1.0)), ([0, 0], Coding(0.0, False, 0.0)),
        ([0.5, 1], Coding(0.0, False, 1.0)),
    ],
)  # fmt: skip
def test_coding_of__tells_how_two_values_are_written(targets, expected):
    assert coding_of(np.array(targets)) == expected
    assert np.isnan(coding_of(np.array([], np.float32)).largest)


@pytest.mark.parametrize(
    ("task", "coding", "expected"),
    [
        (Task("", 1), Coding(0.0, True, 1.0), "binary"), (Task("", 1), Coding(-1.0, True, 1.0), "binary"),
        (Task("", 3), Coding(0.0, True, 1.0), "multilabel"), (Task("", 3), Coding(-1.0, True, 1.0), "mse"),
        (Task("", 3), Coding(0.0, False, 7.0), "mse"), (Task("mse", 3), Coding(0.0, True, 1.0), "mse"),
    ],
)  # fmt: skip
def test_settled__floats_are_labels_where_they_are_two_values(task, coding, expected):
    assert settled(task, coding, (5, task.outputs), (5, task.outputs)) == expected


@pytest.mark.parametrize("axis", [1, 2])
def test_settled__floats_that_sum_to_one_over_the_classes_are_their_probabilities(rng, axis):
    shares = rng.dirichlet(np.ones(3), (4, 5)).astype(np.float32)
    targets = np.moveaxis(shares, 2, axis)
    coding, shape = coding_of(targets), targets.shape
    assert coding.simplex == (axis,)
    assert settled(Task("", 3), coding, shape, shape, axis) == "soft_cross_entropy"
    assert settled(Task("", shape[3 - axis]), coding, shape, shape, 3 - axis) == "mse"
    assert settled(Task("mse", 3), coding, shape, shape, axis) == "mse"
    assert task_for(shape, axis, targets, "cross_entropy") == Task("soft_cross_entropy", 3)
    assert task_for(shape, axis, targets, "soft_cross_entropy") == Task("soft_cross_entropy", 3)
    for other in (targets * 1.01, np.where(targets == targets.max(), -targets, targets), targets * np.nan):
        assert coding_of(other).simplex == ()
    assert coding_of(np.eye(3)[[0, 2]]).simplex == (1,) and coding_of(np.eye(3, dtype=int)).simplex == ()
