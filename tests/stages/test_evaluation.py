import numpy as np
import pytest
import torch
import xarray as xr
from sklearn import metrics
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.stages.evaluation import evaluation


def outputs(values, *dims):
    """Give a replay whose network gives these outputs, dims (step, sample, unit) unless said otherwise."""
    values = np.asarray(values, np.float32)
    dims = ("step", *(dims or ("sample", "unit")))
    array = xr.DataArray(values, {"step": np.arange(len(values))}, dims)
    return lambda layers: {"": array}


def probe(targets):
    targets = np.asarray(targets)
    return xr.Dataset({"targets": (("sample", *(f"t{i}" for i in range(targets.ndim - 1))), targets)})


def test_evaluation__hand_made_answers():
    """Of classes 0, 0, 1 the answers are 0, 1, 1, and class 2 is neither."""
    result = evaluation(outputs([[[1, 0, 0], [0, 1, 0], [0, 9, 0]]]), probe([0, 0, 1])).compute().isel(step=0)
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.class_accuracy.values[:2].tolist() == [0.5, 1] and np.isnan(result.class_accuracy[2])
    assert result.macro_f1 == pytest.approx(2 / 3)
    losses = np.log([1 + 2 / np.e, np.e + 2, 1 + 2 * np.exp(-9)])
    assert result.loss == pytest.approx(losses.mean())


@pytest.mark.parametrize("dims", [("sample", "unit"), ("sample", "unit", "y", "x"), ("sample", "position", "unit")])
def test_evaluation__agrees_with_torch_and_scikit_learn(rng, dims):
    sizes = {"sample": 30, "unit": 5, "y": 2, "x": 3, "position": 4}
    values = 3 * rng.standard_normal((4, *(sizes[dim] for dim in dims))).astype(np.float32)
    labels = rng.integers(4, size=[sizes[dim] for dim in dims if dim != "unit"])
    result = evaluation(outputs(values, *dims), probe(labels)).compute()
    for step in range(4):
        logits = torch.as_tensor(np.moveaxis(values[step], dims.index("unit"), -1).reshape(-1, 5)).double()
        flat, said = labels.ravel(), logits.argmax(1).numpy()
        found = result.isel(step=step)
        assert found.loss.item() == pytest.approx(nn.functional.cross_entropy(logits, torch.as_tensor(flat)).item())
        assert found.accuracy.item() == pytest.approx(metrics.accuracy_score(flat, said))
        assert found.macro_f1.item() == pytest.approx(metrics.f1_score(flat, said, average="macro"))
        recall = metrics.recall_score(flat, said, average=None, labels=range(4))
        np.testing.assert_allclose(found.class_accuracy[:4], recall)


@pytest.mark.parametrize("shape", [(6, 2), (6, 1)])
def test_evaluation__of_values_is_the_mean_squared_error(rng, shape):
    values, targets = rng.standard_normal((3, *shape)), rng.standard_normal(shape).astype(np.float32)
    result = evaluation(outputs(values), probe(targets.squeeze(1) if shape[1] == 1 else targets)).compute()
    expected = ((values.astype(np.float32).astype(float) - targets) ** 2).mean((1, 2))
    np.testing.assert_allclose(result.loss, expected, rtol=1e-12)
    assert set(result) == {"loss", "scored", "left_out", "nonfinite"}


def test_evaluation__what_can_not_be_scored_is_left_out_and_counted():
    values = np.zeros((2, 4, 2))
    values[0, 0, 1], values[1] = np.inf, np.nan
    result = evaluation(outputs(values), probe([0, -100, 1, 2])).compute()
    assert result.scored.values.tolist() == [1, 0]
    assert result.left_out.values.tolist() == [3, 4]
    assert result.nonfinite.values.tolist() == [1, 8]
    assert result.loss[0] == pytest.approx(np.log(2)) and np.isnan(result.loss[1])
    assert np.isnan(result.accuracy[1]) and np.isnan(result.macro_f1[1])


def test_evaluation__large_logits_do_not_overflow():
    result = evaluation(outputs([[[1e4, 0], [0, 1e4]]]), probe([0, 0])).compute()
    assert result.loss.item() == 5e3


def test_evaluation__of_a_recorded_run_is_what_torch_gives(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    inputs, labels = torch.randn(50, 4), torch.randint(3, (50,))
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    expected = []
    with trajlab.Recorder(model, tmp_path / "run", probe=(inputs, labels)) as recorder:
        for _ in range(5):
            loss = nn.functional.cross_entropy(model(inputs), labels)
            expected.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            recorder.step()
            optimizer.step()
    run = trajlab.open(tmp_path / "run")
    result = evaluation(lambda layers: trajlab.replay(run, model=model, layers=layers), run.probe).compute()
    np.testing.assert_allclose(result.loss[:-1], expected, rtol=1e-5)
    assert result.attrs["probe_sha256"] == run.probe.attrs["sha256"]


def test_evaluation__says_what_it_lacks():
    with pytest.raises(MissingData, match="it has inputs only"):
        evaluation(outputs(np.zeros((1, 2, 3))), xr.Dataset({"inputs": ("sample", np.zeros(2))}))
    with pytest.raises(BadSetting, match=r"labels of shape \(2,\) or values of shape \(2, 3\) .* int64 \(5,\)"):
        evaluation(outputs(np.zeros((1, 2, 3))), probe([0, 1, 2, 0, 1]))
    with pytest.raises(MissingData, match="evaluation needs replay of the run; it names no model"):
        trajlab.run("evaluation", trajlab.example())
