import numpy as np
import pytest
from scipy.special import log_softmax, logit, softmax

from trajlab.errors import BadSetting
from trajlab.statistics.logits import are_probabilities, logits_of, predicted_classes


@pytest.mark.parametrize(
    ("ends_in", "task", "asked", "expected"),
    [
        ("Sigmoid", "binary", "", True), ("Sigmoid", "cross_entropy", "", False),
        ("LogSoftmax", "cross_entropy", "", False), ("Softmax", "cross_entropy", "logits", False),
        ("", "multilabel", "probabilities", True), ("", "mse", "probabilities", False),
    ],
)  # fmt: skip
def test_are_probabilities__by_the_end_of_the_network_or_as_asked(ends_in, task, asked, expected):
    assert are_probabilities(ends_in, task, asked) is expected
    with pytest.raises(BadSetting, match="'odds': choose one of logits, probabilities"):
        are_probabilities(ends_in, task, "odds")


def test_logits_of__invert_softmax_and_sigmoid(rng):
    z = rng.standard_normal((4, 3))
    np.testing.assert_allclose(log_softmax(logits_of(softmax(z, -1), "cross_entropy", 1e-300), -1), log_softmax(z, -1))
    p = np.array([0.25, 0.5, 0.9])
    np.testing.assert_allclose(logits_of(p, "binary", 1e-300), logit(p))


def test_logits_of__0_and_1_are_finite_and_nan_stays():
    values = logits_of(np.array([0.0, 1.0, np.nan]), "multilabel", 1e-30)
    np.testing.assert_allclose(values, [np.log(1e-30), -np.log(1e-30), np.nan])


@pytest.mark.parametrize(
    ("outputs", "ends_in", "expected"),
    [
        ([[0.2], [0.7]], "Sigmoid", [0, 1]),
        ([[0.2], [-0.7]], "", [1, 0]),
        ([[1, 3, 2]], "Softmax", [1]),
        ([[1, np.nan]], "", [np.nan]),
    ],
)
def test_predicted_classes__of_one_output_by_its_threshold(outputs, ends_in, expected):
    np.testing.assert_array_equal(predicted_classes(np.array(outputs, float), ends_in), expected)
