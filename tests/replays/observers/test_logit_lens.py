import numpy as np
import torch
from torch.nn import functional as F

from trajlab.replays.observers import logit_lens
from trajlab.replays.observers.logit_lens import LogitLens, scores
from trajlab.replays.observers.observer import Batch, Layer


def test_scores__are_the_cross_entropy_of_torch_over_labels_that_are_classes():
    rng = np.random.default_rng(0)
    logits, labels = 50 * rng.standard_normal((30, 7)), rng.integers(0, 7, 30)
    labels[::4], logits[1, 2], labels[2] = -100, np.nan, 7
    kept = np.isfinite(logits).all(1) & (labels >= 0) & (labels < 7)
    expected = F.cross_entropy(torch.tensor(logits[kept]), torch.tensor(labels[kept]), reduction="sum").item()
    found = scores(logits, labels)
    np.testing.assert_allclose(found[:2], [kept.sum(), expected], rtol=1e-12)
    assert found[2] == (logits[kept].argmax(1) == labels[kept]).sum()


def test_logit_lens__scores_in_pieces_and_leaves_targets_of_another_shape(monkeypatch):
    rng = np.random.default_rng(0)
    values, labels = rng.standard_normal((4, 5, 7)), rng.integers(0, 7, (4, 5))
    layer = Layer("h", (5, 7), ("position", "unit"), values.dtype, {})
    whole = scores(values.reshape(-1, 7), labels.reshape(-1))
    monkeypatch.setattr(logit_lens, "ROWS", 21)
    lens = LogitLens()
    state = lens.start([layer], 4)
    lens.add(state, 0, Batch(values, 0, targets=labels))
    np.testing.assert_allclose(state[0], whole)
    for targets in (labels[:, 0], None):
        lens.add(state, 0, Batch(values, 0, targets=targets))
    np.testing.assert_allclose(lens.finish(state)["lens"][0], whole)
