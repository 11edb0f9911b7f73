import dask
import numpy as np
import pytest
import torch
import xarray as xr
from sklearn import metrics
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.replays.probe_batches import as_probe
from trajlab.replays.stateless import Network
from trajlab.running.fuse import fuse_scans
from trajlab.stages.evaluation import evaluation


def outputs(values, *dims):
    """Return a replay whose network returns these outputs, dims (step, sample, unit) unless said otherwise."""
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
        actual = result.isel(step=step)
        assert actual.loss.item() == pytest.approx(nn.functional.cross_entropy(logits, torch.as_tensor(flat)).item())
        assert actual.accuracy.item() == pytest.approx(metrics.accuracy_score(flat, said))
        assert actual.macro_f1.item() == pytest.approx(metrics.f1_score(flat, said, average="macro"))
        by_class = metrics.precision_recall_fscore_support(flat, said, labels=range(5), zero_division=np.nan)
        for name, expected in zip(("precision", "accuracy", "f1"), by_class, strict=False):
            np.testing.assert_allclose(actual[f"class_{name}"], expected)
        for average in ("macro", "micro", "weighted"):
            scores = metrics.precision_recall_fscore_support(flat, said, average=average, zero_division=0)
            ours = [actual[f"{average}_{name}"].item() for name in ("precision", "recall", "f1")]
            assert ours == pytest.approx(scores[:3])
        np.testing.assert_array_equal(actual.confusion, metrics.confusion_matrix(flat, said, labels=range(5)))


def test_evaluation__averages_of_several_labels_are_those_of_scikit_learn(rng):
    values, labels = rng.standard_normal((1, 40, 3)), rng.integers(2, size=(40, 3))
    actual = evaluation(outputs(values), probe(labels), objective="multilabel").compute().isel(step=0)
    for average in ("macro", "micro", "weighted"):
        scores = metrics.precision_recall_fscore_support(labels, values[0] > 0, average=average, zero_division=0)
        ours = [actual[f"{average}_{name}"].item() for name in ("precision", "recall", "f1")]
        assert ours == pytest.approx(scores[:3])
    assert "confusion" not in actual


class Ending(nn.Module):
    def __init__(self, end, units):
        super().__init__()
        self.fc, self.end = nn.Linear(4, units), end

    def forward(self, x):
        return self.end(self.fc(x))


ENDS = {
    "module": (nn.Softmax(-1), 3, "probabilities"),
    "function": (lambda z: torch.softmax(z, 1).view(-1, 3), 3, "probabilities"),
    "log": (nn.LogSoftmax(-1), 3, "logits"),
    "sigmoid": (torch.sigmoid, 1, "probabilities"),
    "scaled": (lambda z: 2 * torch.softmax(z, 1), 3, "logits"),
    "other axis": (nn.Softmax(0), 3, "logits"),
    "none": (nn.Identity(), 3, "logits"),
}


@pytest.mark.parametrize("end", ENDS)
def test_evaluation__of_a_network_that_ends_in_a_softmax_or_sigmoid_is_that_of_its_logits(rng, end):
    function, units, taken = ENDS[end]
    net = Ending(function, units)
    inputs, labels = torch.tensor(rng.normal(size=(9, 4)), dtype=torch.float32), torch.arange(9) % max(units, 2)
    run = trajlab.from_arrays({name: value.detach().numpy()[None] for name, value in net.named_parameters()})
    run = run.with_model(net, probe=as_probe((inputs, labels)))
    result = trajlab.run("evaluation", run).compute().isel(step=0)
    slope = trajlab.run("attribution", run, samples=range(9), ascent_steps=0, epsilons=()).compute().input_gradient[0]
    leaf = inputs.clone().requires_grad_()
    logits = net.fc(leaf) if taken == "probabilities" or end == "log" else net(leaf)
    if units > 1:
        loss = nn.functional.cross_entropy(logits, labels, reduction="none")
    else:
        loss = nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), reduction="none")
    predicted = logits.argmax(1) if units > 1 else logits[:, 0] > 0
    assert result.attrs["outputs"] == taken
    assert result.loss.item() == pytest.approx(loss.mean().item(), rel=1e-5)
    assert result.accuracy.item() == pytest.approx((predicted == labels).float().mean().item())
    np.testing.assert_allclose(slope, torch.autograd.grad(loss.sum(), leaf)[0], rtol=1e-3, atol=1e-6)


def test_evaluation__takes_the_scale_of_the_outputs_that_is_asked_for():
    p = np.array([[[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]]])
    result = evaluation(outputs(p), probe([0, 0]), outputs="probabilities").compute().isel(step=0)
    tiny = np.finfo(np.float32).tiny
    assert result.loss.item() == pytest.approx(-(np.log(0.7) + np.log(tiny)) / 2)
    assert result.left_out == 0 and result.nonfinite == 0 and result.attrs["outputs"] == "probabilities"
    with pytest.raises(BadSetting, match="outputs as 'odds': choose one of logits, probabilities"):
        evaluation(outputs(p), probe([0, 0]), outputs="odds")


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
    assert "running_loss" not in result
    assert result.attrs["probe_sha256"] == run.probe.attrs["sha256"]


def test_evaluation__says_what_it_lacks():
    with pytest.raises(MissingData, match="inputs"):
        evaluation(outputs(np.zeros((1, 2, 3))), xr.Dataset({"inputs": ("sample", np.zeros(2))}))
    with pytest.raises(BadSetting, match=r"int64 \(5,\).*labels of shape \(2,\).*values of shape \(2, 3\)"):
        evaluation(outputs(np.zeros((1, 2, 3))), probe([0, 1, 2, 0, 1]))
    with pytest.raises(MissingData, match="model"):
        trajlab.run("evaluation", trajlab.example())


class Conv(nn.Module):
    """With a norm, whose parameters and buffers are no weights, and a weight that is used by no module of its own."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
        self.free = nn.Parameter(torch.randn(12, 4))

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x))).flatten(1) @ self.free


class Tied(nn.Module):
    """A tiny transformer on tokens, whose last layer is its embedding."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 8)
        self.encode = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.encode(self.embed(x)))


def trained(build, inputs, labels, steps=4):
    """Return state dicts of a network on a random walk, and the same as a run with the inputs as its probe."""
    torch.manual_seed(3)
    net, states = build(), []
    for _ in range(steps):
        states.append({name: value.clone() for name, value in net.state_dict().items()})
        with torch.no_grad():
            for value in net.parameters():
                value.add_(0.1 * torch.randn_like(value))
    buffers = [name for name, _ in net.named_buffers()]
    arrays = {name: np.stack([state[name].float().numpy() for state in states]) for name in states[0]}
    run = trajlab.from_arrays(
        {name: array for name, array in arrays.items() if name not in buffers},
        buffers={name: arrays[name] for name in buffers},
    )
    return states, run.with_model(build, probe=as_probe((inputs, labels)))


def by_hand(build, states, inputs, labels, threshold, relative=False):
    """Compute loss, accuracy and the share of entries pruned, by masking the weights of each step."""
    rows = []
    for state in states:
        net, below, entries = build(), 0, 0
        net.load_state_dict(state)
        net.eval()
        with torch.no_grad():
            for weight in net.parameters():
                if weight.ndim > 1:
                    small = weight.abs() < threshold * (weight.square().mean().sqrt() if relative else 1)
                    weight[small] = 0
                    below, entries = below + int(small.sum()), entries + weight.numel()
            logits = net(inputs)
        flat, wanted = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
        right = (flat.argmax(1) == wanted).double().mean().item()
        rows.append([nn.functional.cross_entropy(flat, wanted).item(), right, below / entries])
    return np.array(rows)


def mlp():
    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 4))


CASES = {
    "mlp": (mlp, torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), (40,)),
    "conv": (Conv, torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(0)), (40,)),
    "tied": (Tied, torch.randint(7, (40, 5), generator=torch.Generator().manual_seed(0)), (40, 5)),
}


@pytest.mark.parametrize("name", CASES)
def test_evaluation__pruned_is_what_a_loop_that_masks_weights_gives(name):
    build, inputs, shape = CASES[name]
    labels = torch.randint(4, shape, generator=torch.Generator().manual_seed(1))
    states, run = trained(build, inputs, labels)

    result = trajlab.run("evaluation", run, prune=[0.3, 0.05], prune_relative=[0.4]).compute()

    assert result.threshold.values.tolist() == [0.05, 0.3, 0.4]
    assert result.threshold_kind.values.tolist() == ["absolute", "absolute", "relative"]
    for position, (value, relative) in enumerate([(0.05, False), (0.3, False), (0.4, True)]):
        expected = by_hand(build, states, inputs, labels, value, relative)
        actual = result.isel(threshold=position)
        np.testing.assert_allclose(actual.pruned_loss, expected[:, 0], rtol=1e-4)
        np.testing.assert_allclose(actual.pruned_accuracy, expected[:, 1], atol=1e-12)
        np.testing.assert_array_equal(actual.pruned_share, expected[:, 2])
        assert 0 < expected[:, 2].min() and expected[:, 2].max() < 1
    assert (result.pruned_loss != result.loss).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_evaluation__the_share_of_a_bfloat16_run_is_of_what_is_put_to_0(tmp_path, dtype):
    inputs, labels = torch.randn(20, 6), torch.randint(4, (20,))
    torch.manual_seed(0)
    net = mlp().bfloat16()
    with trajlab.Recorder(net, tmp_path / "run", gradients=False, probe=(inputs, labels)) as recorder:
        recorder.step()
    run = trajlab.open(tmp_path / "run").with_model(lambda: mlp().to(dtype))

    threshold = net[0].weight.detach().abs().flatten()[7].item()
    actual = trajlab.run("evaluation", run, prune=[threshold, 0.3]).compute().isel(step=0)

    for position, value in enumerate(sorted([threshold, 0.3])):
        below = [(one.detach().to(dtype).abs() < value).sum().item() for one in (net[0].weight, net[2].weight)]
        assert actual.pruned_share[position].item() == sum(below) / 200 > 0


def test_evaluation__pruning_leaves_what_is_not_small():
    """Entries of exactly the threshold, NaN, and biases stay; zeros count as pruned."""
    weights = {"weight": np.array([[[0.5, -0.4, 0.0]]], np.float32), "bias": np.array([[0.1]], np.float32)}
    seen = {}

    def replay(prune=0.0, **settings):
        run = trajlab.from_arrays(weights)
        seen[prune] = trajlab.replay(run, model=lambda: nn.Linear(3, 1), probe=torch.eye(3), prune=prune, **settings)
        return seen[prune]

    result = evaluation(replay, probe(np.zeros((3, 1), np.float32)), prune=[0.5]).compute()

    np.testing.assert_allclose(seen[0.5][""].values.ravel(), [0.6, 0.1, 0.1], rtol=1e-6)
    assert result.pruned_share.item() == pytest.approx(2 / 3)
    assert result.pruned_loss.item() == pytest.approx((0.36 + 0.01 + 0.01) / 3)
    weights["weight"][0, 0, 1] = np.nan
    assert evaluation(
        replay, probe(np.zeros((3, 1), np.float32)), prune=[0.6]
    ).compute().pruned_share.item() == pytest.approx(2 / 3)
    relative = evaluation(replay, probe(np.zeros((3, 1), np.float32)), prune_relative=[9.0]).compute()
    assert relative.pruned_share.item() == pytest.approx(1 / 3), "relative to an RMS that is NaN only the zero is 0"


def test_evaluation__tells_how_much_can_be_pruned():
    """Of thresholds whose shares are known: a point less is tolerated, what lies beyond the first fall is not."""
    from trajlab.stages.evaluation.quantities import _prunable

    accuracy = xr.DataArray([0.9, 0.9, 0.9, np.nan], dims="step")
    share = xr.DataArray([[0.1, 0.3, 0.6]] * 4, dims=("step", "threshold"))
    pruned = xr.DataArray(
        [[0.9, 0.89, 0.5], [0.88, 0.9, 0.9], [0.95, 0.9, 0.9], [0.9, 0.9, 0.9]], dims=("step", "threshold")
    )
    actual = _prunable(xr.Dataset({"accuracy": accuracy, "pruned_share": share, "pruned_accuracy": pruned}))
    np.testing.assert_array_equal(actual, [0.3, 0.0, 0.6, np.nan])


def test_evaluation__tells_the_gap_to_training_examples():
    inputs, labels = torch.randn(30, 6), torch.randint(4, (30,))
    states, run = trained(mlp, inputs, labels)
    run.probe = as_probe({"valid": (inputs[:10], labels[:10]), "train": (inputs[10:], labels[10:])})

    result = trajlab.run("evaluation", run).compute()

    valid = by_hand(mlp, states, inputs[:10], labels[:10], 0.0)
    train = by_hand(mlp, states, inputs[10:], labels[10:], 0.0)
    np.testing.assert_allclose(result.loss, valid[:, 0], rtol=1e-5)
    np.testing.assert_allclose(result.train_loss, train[:, 0], rtol=1e-5)
    np.testing.assert_allclose(result.train_accuracy, train[:, 1])
    np.testing.assert_allclose(result.loss_gap, valid[:, 0] - train[:, 0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(result.accuracy_gap, train[:, 1] - valid[:, 1])
    assert result.attrs["train_sha256"] == run.probe.attrs["train_sha256"] != result.attrs["probe_sha256"]
    run.probe = run.probe.drop_vars("train_targets")
    assert "train_loss" not in trajlab.run("evaluation", run)


@pytest.mark.parametrize("name", ["loss", "train_loss"])
def test_evaluation__tells_the_mean_of_the_losses_before_each_snapshot(name):
    _, run = trained(mlp, torch.randn(30, 6), torch.randint(4, (30,)))
    run.metrics = xr.Dataset(
        {name: ("step", [5.0, np.nan, 2.0, 2.0]), "lr": ("step", [9.0] * 4)}, {"step": [0, 1, 2, 3]}
    )

    actual = trajlab.run("evaluation", run).compute().running_loss

    np.testing.assert_allclose(actual, [np.nan, 5.0, 5.0, 3.5])
    np.testing.assert_allclose(actual.sel(step=3), run.metrics[name].sel(step=slice(0, 2)).mean())
    run.metrics = run.metrics[["lr"]]
    assert "running_loss" not in trajlab.run("evaluation", run)


def test_evaluation__counts_a_loss_that_was_recorded_more_often_than_the_weights():
    replay, loss = outputs(np.zeros((3, 2, 3))), np.arange(10.0)
    weights_at = [0, 4, 10]
    table = replay(layers=[""])[""].assign_coords(step=weights_at)
    metrics = xr.Dataset({"loss": ("step", loss)}, {"step": np.arange(10)})

    actual = evaluation(lambda layers: {"": table}, probe([0, 1]), metrics).running_loss

    np.testing.assert_allclose(actual, [np.nan, loss[:4].mean(), loss.mean()])


def test_evaluation__with_pruning_is_lazy_and_the_same_on_any_scheduler(no_compute):
    build, inputs, shape = CASES["mlp"]
    _, run = trained(build, inputs, torch.randint(4, shape))
    with no_compute():
        result = trajlab.run("evaluation", run, prune=[0.1], prune_relative=[0.5])
    expected = result.compute(scheduler="sync")
    with dask.config.set(array_optimize=fuse_scans):
        xr.testing.assert_identical(result.compute(scheduler="threads", num_workers=3), expected)
    two = trajlab.run("evaluation", {"a": run, "b": run}, prune=[0.1], prune_relative=[0.5]).compute()
    for name in ("a", "b"):
        np.testing.assert_array_equal(two.pruned_share.sel(run=name), expected.pruned_share)


def test_evaluation__each_threshold_costs_one_pass_a_step(monkeypatch):
    build, inputs, shape = CASES["mlp"]
    _, run = trained(build, inputs, torch.randint(4, shape))
    passes = []
    usual = Network.watched
    monkeypatch.setattr(Network, "watched", lambda self, *rest: passes.append(self.prune) or usual(self, *rest))
    trajlab.run("evaluation", run, prune=[0.1, 0.2]).compute(scheduler="sync")
    assert sorted(passes) == [0.0] * 4 + [0.1] * 4 + [0.2] * 4


def test_evaluation__a_threshold_of_both_kinds_is_refused():
    with pytest.raises(BadSetting, match="0.5.*absolute and relative"):
        evaluation(outputs([[[1, 0]]]), probe([0]), prune=[0.1, 0.5], prune_relative=[0.5])


@pytest.mark.parametrize("settings", [{"prune": [0.0]}, {"prune": [np.nan]}, {"prune_relative": [0.1, -1.0]}])
def test_evaluation__thresholds_that_make_no_sense_are_told(settings):
    with pytest.raises(BadSetting, match="above 0"):
        evaluation(outputs([[[1, 0]]]), probe([0]), **settings)


CODINGS = {"0/1": (0, np.int64), "-1/1": (-1, np.int64), "floats": (0, np.float32), "floats of ±1": (-1, np.float64),
           "bool": (0, bool), "uint8": (0, np.uint8)}  # fmt: skip


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_evaluation__a_single_output_is_a_logit(rng, coding, shape):
    negative, dtype = CODINGS[coding]
    logits, positive = 2 * rng.standard_normal((2, 40, 1)), rng.random(40) < 0.4
    targets = np.where(positive, 1, negative).astype(dtype).reshape(shape)
    result = evaluation(outputs(logits), probe(targets)).compute()
    for step in range(2):
        z = torch.as_tensor(logits[step, :, 0].astype(np.float32)).double()
        loss = nn.functional.binary_cross_entropy_with_logits(z, torch.as_tensor(positive).double())
        actual, said = result.isel(step=step), (z > 0).numpy()
        assert actual.loss.item() == pytest.approx(loss.item())
        assert actual.accuracy.item() == pytest.approx((said == positive).mean())
        assert actual.macro_f1.item() == pytest.approx(metrics.f1_score(positive, said, average="macro"))
        np.testing.assert_allclose(actual.class_accuracy, metrics.recall_score(positive, said, average=None))
        assert (actual.scored, actual.left_out) == (40, 0)


def test_evaluation__labels_of_a_single_output_that_are_neither_are_left_out():
    result = evaluation(outputs([[[2.0], [-1.0], [np.nan], [3.0], [1.0]]]), probe([1, 0, 1, -100, -1])).compute()
    assert (result.scored.item(), result.left_out.item(), result.accuracy.item()) == (2, 3, 1.0)
    assert result.loss.item() == pytest.approx(np.log1p(np.exp([-2.0, -1.0])).mean())
    maps = np.array([[-1.0, 2.0], [3.0, -4.0]])
    of_maps = evaluation(
        outputs(maps[None, None, None], "sample", "unit", "y", "x"), probe([[[0, 1], [1, 1]]])
    ).compute()
    assert of_maps.accuracy.item() == 0.75
    with pytest.raises(BadSetting, match="single output.*up to 3.*objective mse"):
        evaluation(outputs(np.zeros((1, 3, 1))), probe([0, 3, 1])).compute()
    values = evaluation(outputs(np.zeros((1, 3, 1))), probe([0, 3, 1]), objective="mse").compute()
    assert values.loss.item() == pytest.approx(10 / 3) and "accuracy" not in values


@pytest.mark.parametrize("dtype", [np.int64, np.float32, bool])
@pytest.mark.parametrize("dims", [("sample", "unit"), ("sample", "unit", "x"), ("sample", "position", "unit")])
def test_evaluation__several_labels_a_sample_are_scored_each(rng, dtype, dims):
    sizes = {"sample": 30, "unit": 5, "x": 3, "position": 4}
    logits = rng.standard_normal((2, *(sizes[dim] for dim in dims)))
    labels = rng.random(logits.shape[1:]) < 0.3
    result = evaluation(outputs(logits, *dims), probe(labels.astype(dtype))).compute()
    for step in range(2):
        z = torch.as_tensor(logits[step].astype(np.float32)).double()
        loss = nn.functional.binary_cross_entropy_with_logits(z, torch.as_tensor(labels).double())
        said, true = (np.moveaxis(array, dims.index("unit"), -1).reshape(-1, 5) for array in ((z > 0).numpy(), labels))
        actual = result.isel(step=step)
        assert actual.loss.item() == pytest.approx(loss.item())
        assert actual.accuracy.item() == pytest.approx((said == true).mean())
        assert actual.macro_f1.item() == pytest.approx(metrics.f1_score(true, said, average="macro"))
        np.testing.assert_allclose(actual.class_accuracy, metrics.recall_score(true, said, average=None))


@pytest.mark.parametrize("values", [np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.5, 1.0, 2.0, 0.0])])
def test_evaluation__floats_on_disk_are_labels_or_values_as_they_tell(values):
    logits = outputs([[[1.0], [2.0], [-1.0], [0.5]]])
    lazy = probe(values.astype(np.float32)).chunk()
    actual, expected = (evaluation(logits, each).compute() for each in (lazy, probe(values)))
    assert actual.loss.item() == expected.loss.item()
    assert actual.accuracy.item() == 0.25 if set(values) == {0, 1} else np.isnan(actual.accuracy.item())


@pytest.mark.parametrize(
    ("objective", "shape", "targets"),
    [
        ("binary", (4, 3), np.zeros(4, int)), ("cross_entropy", (4, 1), np.zeros(4, int)),
        ("multilabel", (4, 3), np.zeros(4, int)), ("mse", (4, 3), np.zeros(4, int)),
        ("cross_entropy", (4, 3), np.zeros((4, 3))), ("hinge", (4, 3), np.zeros(4, int)),
    ],
)  # fmt: skip
def test_evaluation__an_objective_that_contradicts_the_targets_is_refused(objective, shape, targets):
    with pytest.raises(BadSetting, match=objective):
        evaluation(outputs(np.zeros((1, *shape))), probe(targets), objective=objective)


def test_evaluation__an_objective_that_is_asked_for_holds():
    targets = np.array([[0, 1], [1, 1]], np.float32)
    mse = evaluation(outputs([[[0.5, 2.0], [1.0, 0.0]]]), probe(targets), objective="mse").compute()
    assert mse.loss.item() == pytest.approx((0.25 + 1 + 0 + 1) / 4)
