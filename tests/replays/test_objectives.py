import numpy as np
import pytest
import torch
from torch.nn import functional as F

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.objectives import value_of
from trajlab.replays.observers.observer import Objective
from trajlab.statistics.tasks import Coding, coding_of

LOGITS = torch.tensor([[0.0, 2.0, -1.0], [1.0, 0.0, 3.0]], dtype=torch.float64)


def value(kind, output, targets=None, **options):
    coding = Coding() if targets is None else coding_of(targets.numpy())
    return value_of(Objective(kind, **options), lambda name: output, targets, 0, coding).item()


def test_loss__of_classes_is_the_cross_entropy_summed_over_samples():
    labels = torch.tensor([1, 0])
    assert value("loss", LOGITS, labels) == pytest.approx(F.cross_entropy(LOGITS, labels, reduction="sum").item())


def test_logits__are_those_of_the_label_and_of_the_prediction():
    labels = torch.tensor([1, 0])
    probability = LOGITS.softmax(1)
    assert value("logit", LOGITS, labels) == 2 + 1
    assert value("predicted_logit", LOGITS, labels) == 2 + 3
    assert value("p_logit", LOGITS, labels) == pytest.approx((2 * probability[0, 1] + probability[1, 0]).item())


@pytest.mark.parametrize("single", [False, True])
def test_p_logit__holds_the_probability_constant(single):
    """The published signal is one-hot times softmax: the gradient is p at the label, and 0 elsewhere."""
    logits = (LOGITS[:, :1] if single else LOGITS).clone().requires_grad_()
    value_of(Objective("p_logit"), lambda name: logits, torch.tensor([1, 0]), 0, Coding(negative=0)).backward()
    if single:
        p = torch.sigmoid(torch.tensor([1.0, -1.0]) * logits[:, 0].detach())
        torch.testing.assert_close(logits.grad[:, 0], p * torch.tensor([1.0, -1.0]), check_dtype=False)
    else:
        expected = torch.zeros_like(logits)
        expected[[0, 1], [1, 0]] = logits.detach().softmax(1)[[0, 1], [1, 0]]
        torch.testing.assert_close(logits.grad, expected)


def test_labels_of_no_class_count_nothing():
    assert value("logit", LOGITS, torch.tensor([-100, 2])) == 3
    assert value("loss", LOGITS, torch.tensor([-1, 5])) == 0


@pytest.mark.parametrize("axis", [1, 2])
def test_maps__are_means_over_their_positions(axis):
    """Logits of 3 classes at 2 positions of one sample, the classes before or after the positions."""
    logits = LOGITS[None].movedim(2, axis)
    labels = torch.tensor([[1, 2]])
    assert value("logit", logits, labels) == (2 + 3) / 2
    assert value("logit", logits, torch.tensor([[1, -100]])) == 2


@pytest.mark.parametrize("labels", [[0, 1], [-1, 1], [0.0, 1.0]])
def test_a_single_output_is_a_logit_whose_sign_turns_with_the_label(labels):
    z = torch.tensor([[2.0], [3.0]])
    targets = torch.tensor(labels)
    assert value("logit", z, targets) == -2 + 3 and value("predicted_logit", z, targets) == 5
    assert value("loss", z, targets) == pytest.approx(np.log1p(np.exp(2)) + np.log1p(np.exp(-3)), rel=1e-6)
    sigmoid = 1 / (1 + np.exp([2.0, -3.0]))
    assert value("p_logit", z[:, 0], targets) == pytest.approx(-2 * sigmoid[0] + 3 * sigmoid[1], rel=1e-6)


def test_loss__of_several_labels_and_of_values_is_a_mean_over_outputs():
    labels = torch.tensor([[1, 0, 1], [0, 0, 1]])
    expected = F.binary_cross_entropy_with_logits(LOGITS, labels.double(), reduction="none").mean(1).sum()
    assert value("loss", LOGITS, labels) == pytest.approx(expected.item())
    values = torch.full((2, 3), 0.5, dtype=torch.float64)
    assert value("loss", LOGITS, values) == pytest.approx(((LOGITS - 0.5) ** 2).mean(1).sum().item())
    forced = value("loss", LOGITS, labels.double(), task="mse")
    assert forced == pytest.approx(((LOGITS - labels) ** 2).mean(1).sum().item())


def test_unit__is_the_mean_over_positions_of_a_unit_of_each_sample():
    output = torch.arange(12.0).reshape(2, 3, 2)  # (sample, unit, position)
    objective = Objective("unit", "conv", (9, 9, 2, 0))
    assert value_of(objective, lambda name: output, None, 2, Coding()).item() == 4.5 + 6.5


@pytest.mark.parametrize(
    ("kind", "targets", "error", "words"),
    [
        ("los", torch.tensor([0, 1]), BadSetting, "'los'.*loss, logit, p_logit, predicted_logit, unit"),
        ("loss", None, MissingData, r"the loss: the probe has no targets.*probe=\(inputs, targets\)"),
        ("logit", torch.zeros(2, 3) + 0.5, BadSetting, r"the logit.*\[2, 3\].*choose the loss"),
        ("loss", torch.zeros(5).long(), BadSetting, r"targets are int64 \(5,\)"),
    ],
)
def test_errors__say_what_does_not_fit(kind, targets, error, words):
    with pytest.raises(error, match=words):
        value(kind, LOGITS, targets)


@pytest.mark.parametrize("axis", [1, 2])
def test_loss__of_probabilities_of_classes_is_their_cross_entropy_unless_values_are_asked_for(axis):
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.standard_normal((4, 5, 3))).movedim(2, axis)
    targets = torch.tensor(rng.standard_normal((4, 5, 3))).softmax(2).movedim(2, axis)
    by_class = F.cross_entropy(logits.movedim(axis, 1), targets.movedim(axis, 1), reduction="none").mean(1).sum()
    assert value("loss", logits, targets) == pytest.approx(by_class.item())
    assert value("loss", logits, targets, task="cross_entropy") == pytest.approx(by_class.item())
    one, its_targets = (part.movedim(axis, 2)[:, 0] for part in (logits, targets))
    alone = F.cross_entropy(one, its_targets, reduction="sum").item()
    assert value("loss", one, its_targets) == pytest.approx(alone)
    squares = ((logits - targets) ** 2).mean((1, 2)).sum().item()
    assert value("loss", logits, targets, task="mse") == pytest.approx(squares)


def test_loss__of_one_hot_floats_is_that_of_their_classes():
    labels = torch.tensor([1, 0])
    one_hot = F.one_hot(labels, 3).double()
    assert value("loss", LOGITS, one_hot) == pytest.approx(value("loss", LOGITS, labels))
    assert value("loss", LOGITS, one_hot, task="multilabel") == pytest.approx(
        F.binary_cross_entropy_with_logits(LOGITS, one_hot, reduction="none").mean(1).sum().item()
    )
    smooth = 0.9 * one_hot + 0.1 / 3
    assert value("loss", LOGITS, smooth) == pytest.approx(
        F.cross_entropy(LOGITS, labels, reduction="sum", label_smoothing=0.1).item()
    )
