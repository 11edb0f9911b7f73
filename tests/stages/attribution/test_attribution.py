from functools import partial

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn import functional as F

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observers.observer import Objective
from trajlab.replays.observers.output_gradients import OutputGradients
from trajlab.replays.probe_batches import as_probe
from trajlab.replays.probe_files import read_probe
from trajlab.replays.probe_kinds import kinds_of
from trajlab.running.fuse import fuse_scans
from trajlab.stages.attribution.ascent import random_signs
from trajlab.statistics.attention_iou import attention_iou, resized, scaled

FAST = {"ascent_steps": 2, "epsilons": (0.0, 0.3)}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.relu = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(inplace=True)
        self.pool, self.conv2, self.norm = nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.relu(self.norm(self.conv2(self.pool(self.relu(self.conv1(x)))))).mean((2, 3)))


def snapshots(build, steps=3):
    actual = []
    for step in range(steps):
        torch.manual_seed(step)
        actual.append(build())
        for module in actual[-1].modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    return [one.eval() for one in actual]


def run_of(nets, build, probe, chunks=None, steps=None):
    """A run of networks, with a probe and the network to replay it in."""
    trained = dict(nets[0].named_parameters())
    states = [one.state_dict() for one in nets]
    arrays = {name: np.stack([state[name].float().numpy() for state in states]) for name in states[0]}
    if chunks:
        arrays = {
            name: dask.array.from_array(array, chunks=(chunks, *array.shape[1:])) for name, array in arrays.items()
        }
    weights = {name: array for name, array in arrays.items() if name in trained}
    buffers = {name: array for name, array in arrays.items() if name not in trained}
    run = trajlab.from_arrays(weights, buffers=buffers, steps=steps)
    return run.with_model(build, probe=as_probe(probe))


def attribution(run, **settings):
    return trajlab.run("attribution", run, **settings)


@pytest.fixture(scope="module")
def batch():
    random = torch.Generator().manual_seed(1)
    return torch.randn(11, 2, 8, 8, generator=random), torch.tensor([2, 2, 0, 1, 0, 1, 1, 2, 0, 0, 1])


@pytest.fixture(scope="module")
def run(batch):
    return run_of(snapshots(Net), Net, batch, steps=[0, 10, 30])


@pytest.fixture(scope="module")
def result(run):
    return attribution(run, epsilon=0.5, epsilons=(0.0, 0.3), ascent_steps=4, norm=1.0, objective="p_logit").compute()


def gradient(net, inputs, targets, kind="loss"):
    """The plain loop of torch: the gradient of each sample's objective by the sample."""
    leaf = inputs.clone().requires_grad_()
    output = net(leaf.clone())
    position = torch.arange(len(output))
    value = {
        "loss": lambda: F.cross_entropy(output, targets, reduction="sum"),
        "logit": lambda: output[position, targets].sum(),
        "p_logit": lambda: (output.softmax(1)[position, targets].detach() * output[position, targets]).sum(),
    }[kind]()
    return torch.autograd.grad(value, leaf)[0], output.detach()


def test_attribution__shows_the_first_sample_of_each_class(result, batch):
    assert result.sample_index.values.tolist() == [2, 3, 0]
    assert result.target.values.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(result.image, batch[0][[2, 3, 0]])


def test_attribution__input_gradients_and_answers_are_those_of_a_plain_loop(result, batch):
    inputs, targets = batch[0][[2, 3, 0]], batch[1][[2, 3, 0]]
    for step, net in enumerate(snapshots(Net)):
        expected, output = gradient(net, inputs, targets, "p_logit")
        np.testing.assert_allclose(result.input_gradient[step], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(result.predicted[step], output.argmax(1))
    assert result.input_gradient.dims == ("step", "sample", "channel", "y", "x")
    assert (result.nonfinite == 0).all()


def test_attribution__adversarial_samples_are_those_of_a_plain_loop(result, batch):
    shown = [2, 3, 0]
    for step, net in enumerate(snapshots(Net)):
        slope, _ = gradient(net, *batch)
        moved = (batch[0] + 0.5 * slope.sign())[shown]
        np.testing.assert_allclose(result.adversarial[step], moved, atol=1e-6)
        np.testing.assert_array_equal(result.adversarial_predicted[step], net(moved).argmax(1))
        for position, epsilon in enumerate((0.0, 0.3)):
            with torch.no_grad():
                output = net(batch[0] + epsilon * slope.sign())
            right = (output.argmax(1) == batch[1]).double().mean()
            np.testing.assert_allclose(result.adversarial_accuracy[step, position], right)
            np.testing.assert_allclose(
                result.adversarial_loss[step, position], F.cross_entropy(output, batch[1]), rtol=1e-4
            )
        with torch.no_grad():
            blind = net(batch[0] + 0.3 * torch.from_numpy(random_signs(batch[0].numpy(), 0).compute()))
        np.testing.assert_allclose(result.noise_loss[step, 1], F.cross_entropy(blind, batch[1]), rtol=1e-4)
        right = (blind.argmax(1) == batch[1]).double().mean()
        np.testing.assert_allclose(result.noise_accuracy[step, 1], right)
    assert (result.noise_loss[:, 0] == result.adversarial_loss[:, 0]).all()
    assert result.epsilon.values.tolist() == [0.0, 0.3]
    assert (result.adversarial_loss[:, 1] > result.adversarial_loss[:, 0]).all()


def test_random_signs__are_as_often_up_as_down_and_follow_the_seed(rng):
    inputs = rng.standard_normal((50, 40)).astype(np.float32)
    signs = random_signs(inputs, 3).compute()

    assert signs.dtype == inputs.dtype and set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.1
    assert (signs == random_signs(inputs, 3).compute()).all() and (signs != random_signs(inputs, 4).compute()).any()


def test_attribution__grad_cam_and_maps_are_those_of_a_plain_loop(result, batch):
    assert result.attrs["layer"] == "conv2"
    for step, net in enumerate(snapshots(Net)):
        kept = []
        handle = net.conv2.register_forward_hook(lambda _, inputs, output, kept=kept: kept.append(output))
        output = net(batch[0][[2, 3, 0]])
        handle.remove()
        (slope,) = torch.autograd.grad(output[torch.arange(3), torch.arange(3)].sum(), kept[0])
        maps = kept[0].detach()
        cam = torch.relu((slope.mean((2, 3), keepdim=True) * maps).sum(1))
        np.testing.assert_allclose(result.grad_cam[step], cam, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(result.activation_map[step], maps[0], rtol=1e-4, atol=1e-6)
    assert result.grad_cam.max() > 0
    assert result.activation_map.dims == ("step", "unit", "map_y", "map_x")


def test_attribution__top_samples_are_those_with_the_largest_mean(result, batch):
    for step, net in enumerate(snapshots(Net)):
        with torch.no_grad():
            means = net.conv2(net.pool(net.relu(net.conv1(batch[0])))).mean((2, 3)).numpy()
        order = np.argsort(-means, axis=0)[:5].T
        np.testing.assert_array_equal(result.top_samples[step], order)
        np.testing.assert_allclose(
            result.top_response[step], np.take_along_axis(means.T, order, 1), rtol=1e-4, atol=1e-6
        )


def test_attribution__maximum_responses_are_those_of_a_plain_loop(result):
    for step, net in enumerate(snapshots(Net)):
        for unit in range(6):
            x = np.random.default_rng([0, unit]).standard_normal((2, 8, 8))
            x = torch.tensor(x / np.sqrt((x**2).sum()), dtype=torch.float32)[None]

            def response(x, net=net, unit=unit):
                return net.conv2(net.pool(net.relu(net.conv1(x))))[0, unit].mean()

            first = response(x)
            for _ in range(4):
                leaf = x.clone().requires_grad_()
                (slope,) = torch.autograd.grad(response(leaf), leaf)
                x = F.normalize((x + 0.2 * slope / slope.norm()).flatten(), dim=0).reshape(x.shape)
            np.testing.assert_allclose(result.maximum_response[step, unit], x[0], rtol=1e-3, atol=1e-4)
            last = response(x).item()
            np.testing.assert_allclose(result.maximum_response_value[step, unit], last, rtol=1e-3, atol=1e-5)
            assert last > first


def test_attribution__of_one_layer_is_known_by_hand():
    """Logits 2a − b and 3b: gradients are rows, and the input of norm 1 that excites a unit most is its row too."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    weight = np.array([[[2.0, -1.0], [0.0, 3.0]]], np.float32)
    probe = (np.array([[1, 0], [0, 1], [1, 1], [-5, 0]], np.float32), np.array([0, 1, 1, 0]))
    run = trajlab.from_arrays({"0.weight": weight}).with_model(net, probe=as_probe(probe))

    actual = attribution(
        run, objective="logit", epsilon=1.0, epsilons=(0.0, 3.0), samples=[0, 1], ascent_steps=40, norm=1.0
    ).compute()

    np.testing.assert_array_equal(actual.input_gradient[0], weight[0])
    assert actual.input_gradient.dims == ("step", "sample", "feature")
    np.testing.assert_array_equal(actual.adversarial[0], [[0, 1], [1, 0]])
    assert actual.predicted[0].values.tolist() == [0, 1]
    assert actual.adversarial_predicted[0].values.tolist() == [1, 0]
    assert actual.adversarial_accuracy[0].values.tolist() == [0.75, 0.0]
    np.testing.assert_allclose(actual.maximum_response[0], [[2 / 5**0.5, -1 / 5**0.5], [0, 1]], atol=2e-2)
    np.testing.assert_allclose(actual.maximum_response_value[0], [5**0.5, 3], rtol=1e-3)
    assert actual.top_samples[0].values.tolist() == [[0, 2, 1, 3], [1, 2, 0, 3]]
    assert actual.top_response[0, 0].values.tolist() == [2, 1, -1, -10]
    assert not {"grad_cam", "activation_map"} & set(actual)
    assert actual.attrs["layer"] == "0"


def test_attribution__grad_cam_is_known_by_hand():
    """Units a and −a: only the first speaks for class 0, so the map is where the image is positive."""
    net = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2, bias=False)
    )
    weights = {
        "0.weight": np.array([1.0, -1.0]).reshape(1, 2, 1, 1, 1),
        "3.weight": np.array([[[4.0, 0.0], [0.0, 8.0]]]),
    }
    run = trajlab.from_arrays({name: array.astype(np.float32) for name, array in weights.items()})
    image = torch.tensor([[[[1.0, -2.0], [0.5, 0.0]]]])
    probe = as_probe((image.repeat(2, 1, 1, 1), torch.tensor([0, 1])))

    actual = attribution(run.with_model(net, probe=probe), **FAST).compute()

    np.testing.assert_allclose(actual.grad_cam[0, 0], [[1.0, 0.0], [0.5, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(actual.grad_cam[0, 1], [[0.0, 4.0], [0.0, 0.0]], rtol=1e-6)
    wording = attribution(run.with_model(net, probe=probe), objective="predicted_logit", **FAST).compute()
    assert wording.predicted.values.tolist() == [[1, 1]]
    np.testing.assert_allclose(wording.grad_cam[0], [[[0.0, 4.0], [0.0, 0.0]]] * 2, rtol=1e-6)
    np.testing.assert_allclose(wording.input_gradient, -2.0, rtol=1e-6)


def test_attention_iou__is_1_for_equal_maps_0_for_disjoint_ones_and_nan_for_none():
    one, other = np.array([[3.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 5.0]])
    half = np.array([[1.0, 0.0], [1.0, 0.0]])
    axes = (-2, -1)
    np.testing.assert_allclose(attention_iou(one, 7 * one, axes), 1)
    assert attention_iou(one, other, axes) == 0
    p, q = np.array([0.75, 0.25, 0, 0]), np.array([0.5, 0, 0.5, 0])
    np.testing.assert_allclose(attention_iou(one, half, axes), (p * q).sum() / (((p + q) / 2) ** 2).sum())
    assert np.isnan(attention_iou(one, 0 * one, axes)) and np.isnan(attention_iou(one, other * np.nan, axes))


def test_attention_iou__of_scaled_maps_does_not_see_what_all_positions_share():
    maps = np.array([[[2.0, 3.0], [2.0, 2.0]], [[5.0, 5.0], [5.0, 5.0]]])
    mask = np.array([[0.0, 1.0], [0.0, 0.0]])
    axes = (-2, -1)

    assert scaled(maps, axes)[0].tolist() == [[0, 1], [0, 0]] and np.isnan(scaled(maps, axes)[1]).all()
    assert attention_iou(scaled(maps, axes), mask, axes)[0] == 1
    p = 3 / 9
    expected = p / (((1 + p) / 2) ** 2 + 3 * (2 / 9 / 2) ** 2)
    assert attention_iou(maps, mask, axes)[0] == pytest.approx(expected)


@pytest.mark.parametrize(("small", "large"), [((4, 4), (8, 8)), ((3, 5), (10, 7)), ((1, 2), (6, 6)), ((8, 8), (8, 8))])
def test_resized__is_bilinear_as_torch_has_it(small, large, rng):
    maps = rng.random((2, 3, *small))
    expected = F.interpolate(torch.tensor(maps), large, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resized(maps, large), expected, rtol=1e-12)


def masks_for(batch):
    mask = np.zeros((11, 8, 8), np.float32)
    mask[:, :, 4:] = 1
    mask[3] = 0
    return mask


def given_as_array(batch, mask, path):
    return as_probe(batch).assign(mask=(("sample", "y", "x"), mask))


def given_as_kind(batch, mask, path):
    return as_probe({"valid": batch, "mask": torch.tensor(mask)})


def given_as_file(batch, mask, path):
    np.savez(path / "probe.npz", inputs=batch[0].numpy(), targets=batch[1].numpy(), masks=mask[:, None])
    return read_probe(path / "probe.npz")


def given_as_recorded(batch, mask, path):
    with trajlab.Recorder(Net(), path / "run", probe={"valid": batch, "mask": torch.tensor(mask, dtype=torch.bool)}):
        pass
    return trajlab.open(path / "run").probe


@pytest.mark.parametrize("inputs", [given_as_array, given_as_kind, given_as_file, given_as_recorded])
def test_attribution__overlaps_with_masks_however_they_are_given(run, result, batch, inputs, tmp_path):
    mask = masks_for(batch)
    probe = inputs(batch, mask, tmp_path)

    actual = attribution(run.with_model(None, probe=probe), objective="p_logit", **FAST).compute()

    cam = F.interpolate(torch.tensor(result.grad_cam.values), (8, 8), mode="bilinear").numpy()
    slope = abs(result.input_gradient.values).sum(2)
    for position, maps in enumerate((slope, cam)):
        with np.errstate(invalid="ignore"):
            p = maps / maps.sum((2, 3), keepdims=True)
            q = mask[[2, 3, 0]] / mask[[2, 3, 0]].sum((1, 2), keepdims=True)
        expected = (p * q).sum((2, 3)) / (((p + q) / 2) ** 2).sum((2, 3))
        np.testing.assert_allclose(actual.attention_iou_unscaled[..., position], expected, rtol=1e-5)
        least, most = maps.min((2, 3), keepdims=True), maps.max((2, 3), keepdims=True)
        with np.errstate(invalid="ignore"):
            expected = attention_iou((maps - least) / (most - least), mask[[2, 3, 0]], (-2, -1))
        np.testing.assert_allclose(actual.attention_iou[..., position], expected, rtol=1e-5)
        own = (slope, result.grad_cam.values)[position]
        before = attention_iou(own[1:], own[:-1], (-2, -1))
        np.testing.assert_allclose(actual.attention_iou_prev_unscaled[1:, :, position], before, rtol=1e-5)
        flat = own - own.min((2, 3), keepdims=True)
        before = attention_iou(flat[1:], flat[:-1], (-2, -1))
        np.testing.assert_allclose(actual.attention_iou_prev[1:, :, position], before, rtol=1e-5)
    assert np.isnan(actual.attention_iou[:, 1]).all() and (actual.attention_iou[:, [0, 2], 0] > 0).all()
    assert np.isnan(actual.attention_iou_prev[0]).all()
    assert actual["map"].values.tolist() == ["input_gradient", "grad_cam"]
    assert "mask" not in kinds_of(probe)


def test_attribution__without_masks_there_is_no_overlap_with_them(result):
    assert "attention_iou" not in result and "attention_iou_prev" in result


@pytest.mark.parametrize(("mask", "said"), [(np.ones((11, 4, 4)), "mask"), (np.ones((5, 8, 8)), "mask")])
def test_attribution__masks_that_do_not_fit_are_told(run, batch, mask, said):
    probe = as_probe(batch).assign(mask=(("masked", "y", "x"), mask))
    with pytest.raises(BadSetting, match=said):
        attribution(run.with_model(None, probe=probe))


def test_attribution__masks_below_zero_are_told(run, batch):
    probe = as_probe(batch).assign(mask=(("sample", "y", "x"), -masks_for(batch)))
    with pytest.raises(BadSetting, match="negative"):
        attribution(run.with_model(None, probe=probe), **FAST).compute()


@pytest.mark.parametrize(("chunks", "size", "scheduler"), [(1, 256, "threads"), (2, 4, "sync"), (3, 1, "threads")])
def test_attribution__any_chunks_and_batches_give_the_same_numbers(batch, chunks, size, scheduler, monkeypatch):
    nets = snapshots(Net)
    expected = attribution(run_of(nets, Net, batch), **FAST).compute(scheduler="sync")
    monkeypatch.setattr("trajlab.sizes.BATCH_SAMPLES", size)
    lazy = as_probe(batch).chunk(sample=3)
    run = run_of(nets, Net, batch, chunks).with_model(None, probe=lazy)
    with dask.config.set(array_optimize=fuse_scans, scheduler=scheduler, num_workers=3):
        (actual,) = dask.compute(attribution(run, **FAST))
    assert set(actual) == set(expected)
    for name in expected:
        compare = np.testing.assert_array_equal if size == 256 else np.testing.assert_allclose
        compare(actual[name], expected[name], **({} if size == 256 else {"rtol": 1e-4, "atol": 1e-5}))


def test_attribution__is_lazy_also_on_a_lazy_probe(batch, no_compute):
    lazy = as_probe(batch).chunk(sample=3)
    run = run_of(snapshots(Net), Net, batch, 1).with_model(None, probe=lazy)
    with no_compute():
        actual = attribution(run)
    assert actual.sizes["sample"] == 3


def test_attribution__passes_only_the_steps_that_are_shown(batch):
    seen = []

    class Counting(Net):
        def forward(self, x):
            seen.append(float(self.fc.bias.sum()))
            return super().forward(x)

    nets = snapshots(Counting, 6)
    actual = attribution(run_of(nets, Counting, batch), steps=[2], **FAST)
    seen.clear()
    actual.compute()
    assert actual.step.values.tolist() == [2]
    np.testing.assert_allclose(np.unique(seen), nets[2].fc.bias.sum().item(), rtol=1e-5)


def test_attribution__one_step_and_one_sample(batch):
    run = run_of(snapshots(Net, 1), Net, (batch[0][:1], batch[1][:1]))
    actual = attribution(run, **FAST).compute()
    assert actual.sizes["step"] == actual.sizes["sample"] == actual.sizes["rank"] == 1
    assert np.isnan(actual.attention_iou_prev).all() and np.isfinite(actual.input_gradient).all()


def test_attribution__classes_that_the_probe_lacks_leave_room_for_others(batch):
    run = run_of(snapshots(Net, 1), Net, (batch[0], torch.tensor([2] * 5 + [0] * 6)))
    assert attribution(run, **FAST).sample_index.values.tolist() == [5, 0, 1]
    assert attribution(run, samples=[9, 4], **FAST).sample_index.values.tolist() == [9, 4]
    assert attribution(run, max_samples=1, **FAST).sample_index.values.tolist() == [5]


def test_attribution__dead_units_keep_their_noise_and_constant_outputs_have_no_gradient(batch):
    nets = snapshots(Net, 2)
    with torch.no_grad():
        nets[1].conv2.weight.zero_()
    run = run_of(nets, Net, batch)
    actual = attribution(run, norm=1.0, **FAST).compute().isel(step=1)
    noise = np.random.default_rng([0, 2]).standard_normal((2, 8, 8))
    np.testing.assert_allclose(actual.maximum_response[2], noise / np.linalg.norm(noise), rtol=1e-5)
    assert (actual.input_gradient == 0).all()
    np.testing.assert_array_equal(actual.adversarial, actual.image)
    assert np.isnan(actual.attention_iou_prev.sel(map="input_gradient")).all()


def test_attribution__nan_and_inf_are_counted_and_stay(batch):
    nets = snapshots(Net)
    with torch.no_grad():
        nets[1].conv1.weight[0, 0, 0, 0] = np.nan
        nets[2].fc.bias[1] = np.inf
    actual = attribution(run_of(nets, Net, batch), **FAST).compute()
    assert (actual.nonfinite > 0).values.tolist() == [False, True, True]
    assert np.isnan(actual.predicted[1:]).all() and np.isnan(actual.input_gradient[1]).all()
    assert np.isnan(actual.adversarial_accuracy[1]).all()
    assert (actual.top_samples[1] == -1).all() and (actual.top_samples[0] >= 0).all()
    assert np.isfinite(actual.adversarial_accuracy[0]).all() and np.isfinite(actual.maximum_response[0]).all()


def test_attribution__gaps_in_the_steps_are_told(run, result):
    assert result.step.values.tolist() == [0, 10, 30]


def test_attribution__takes_snapshots_in_bfloat16(batch, tmp_path):
    net = snapshots(Net, 1)[0].to(torch.bfloat16)
    with trajlab.Recorder(net, tmp_path / "run", gradients=False, probe=batch) as recorder:
        recorder.step(loss=0.0)
    actual = attribution(trajlab.open(tmp_path / "run").with_model(Net), **FAST).compute()
    wide = net.float()
    slope, _ = gradient(wide, batch[0][[2, 3, 0]], batch[1][[2, 3, 0]])
    np.testing.assert_allclose(actual.input_gradient[0], slope, rtol=1e-4, atol=1e-6)


class Tokens(nn.Module):
    """A transformer of one block, which returns its attention on request."""

    def __init__(self):
        super().__init__()
        self.embedding, self.position = nn.Embedding(7, 8), nn.Parameter(torch.randn(5, 8))
        self.block, self.head = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.block(self.embedding(x) + self.position).mean(1))


@pytest.fixture
def sentences():
    return torch.randint(7, (6, 5), generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2])


def test_attribution__tokens_have_gradients_by_their_embedding(sentences):
    run = run_of(snapshots(Tokens), Tokens, sentences)
    actual = attribution(run).compute()

    assert not {"input_gradient", "adversarial", "adversarial_accuracy", "maximum_response", "grad_cam"} & set(actual)
    assert actual.token_gradient.dims == ("step", "sample", "position")
    for step, net in enumerate(snapshots(Tokens)):
        kept = []
        net.embedding.register_forward_hook(lambda _, inputs, output, kept=kept: kept.append(output))
        loss = F.cross_entropy(net(sentences[0][:3]), sentences[1][:3], reduction="sum")
        expected = torch.autograd.grad(loss, kept[0])[0].norm(dim=2)
        np.testing.assert_allclose(actual.token_gradient[step], expected, rtol=1e-4, atol=1e-6)
    assert actual["map"].values.tolist() == ["token_gradient"]


def test_attribution__of_tokens_the_maps_of_a_layer_of_attention_are_those_of_its_heads(sentences):
    run = run_of(snapshots(Tokens), Tokens, sentences)
    actual = attribution(run, layer="block.self_attn[1]", map_sample=1).compute()
    net = snapshots(Tokens)[0]
    with torch.no_grad():
        h = net.embedding(sentences[0][1:2]) + net.position
        expected = net.block.self_attn(h, h, h, need_weights=True, average_attn_weights=False)[1]
    assert actual.activation_map.dims == ("step", "unit", "map_query", "map_key")
    np.testing.assert_allclose(actual.activation_map[0], expected[0], rtol=1e-4, atol=1e-6)
    assert "grad_cam" not in actual


class Attending(nn.Module):
    def __init__(self, need_weights):
        super().__init__()
        self.need_weights = need_weights
        self.attention, self.fc = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.attention(x, x, x, need_weights=self.need_weights)[0].mean(1))


@pytest.mark.parametrize("need_weights", [True, False])
def test_attribution__of_attention_shows_its_maps_and_no_inputs_that_maximize_its_mean(rng, need_weights):
    inputs = torch.tensor(rng.normal(size=(7, 5, 8)), dtype=torch.float32)
    build = partial(Attending, need_weights)
    nets = snapshots(build, 1)
    run = run_of(nets, build, (inputs, torch.arange(7) % 3))
    result = attribution(run, layer="attention[1]", samples=[6], **FAST).compute()
    with torch.no_grad():
        attention = nets[0].attention(inputs[6:], inputs[6:], inputs[6:], average_attn_weights=False)[1]
    np.testing.assert_allclose(result.activation_map.values[0], attention[0], rtol=1e-5)
    assert "maximum_response" not in result  # attention sums to 1 over the keys: the mean of a head is 1/5
    assert (result.top_samples == -1).all() and result.top_response.isnull().all()


@pytest.mark.parametrize("need_weights", [True, False])
def test_observe__differentiates_the_attention_of_a_head_also_of_a_network_that_returns_none(rng, need_weights):
    inputs = torch.tensor(rng.normal(size=(2, 5, 8)), dtype=torch.float32)
    build = partial(Attending, need_weights)
    run = run_of(snapshots(build, 1), build, (inputs, torch.tensor([0, 1])))
    objective = Objective("unit", "attention[1]", (0, 1))
    gradient = trajlab.replay(run, layers=["input"]).observe(OutputGradients(objective))["input"].compute()
    assert gradient.shape == (1, 2, 5, 8) and abs(gradient).max() < 1e-6  # the mean is 1/5 for any input


def test_attribution__of_values_there_is_a_loss_under_attack_but_no_accuracy(rng):
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    probe = (rng.standard_normal((6, 4)).astype(np.float32), rng.standard_normal((6, 1)).astype(np.float32))
    run = run_of([net], net, probe)
    actual = attribution(run, **FAST).compute()
    assert not {"predicted", "adversarial_accuracy", "grad_cam", "adversarial_predicted"} & set(actual)
    x = torch.tensor(probe[0], requires_grad=True)
    slope = torch.autograd.grad(((net(x) - torch.tensor(probe[1])) ** 2).mean(1).sum(), x)[0]
    np.testing.assert_allclose(actual.input_gradient[0], slope, rtol=1e-4, atol=1e-6)
    moved = net(x + 0.3 * slope.sign()).detach() - torch.tensor(probe[1])
    np.testing.assert_allclose(actual.adversarial_loss[0, 1], (moved**2).mean(), rtol=1e-4)
    assert actual.attrs["layer"] == "0"
    with pytest.raises(BadSetting, match="loss"):
        attribution(run, objective="logit")


@pytest.mark.parametrize("objective", ["loss", "cross_entropy"])
def test_attribution__of_soft_labels_is_that_of_their_cross_entropy(rng, objective):
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    shares = rng.dirichlet(np.ones(3), 6).astype(np.float32)
    probe = (rng.standard_normal((6, 4)).astype(np.float32), shares)
    actual = attribution(run_of([net], net, probe), objective=objective, **FAST).compute()
    x = torch.tensor(probe[0], requires_grad=True)
    slope = torch.autograd.grad(F.cross_entropy(net(x), torch.tensor(shares), reduction="sum"), x)[0]
    np.testing.assert_allclose(actual.input_gradient[0], slope, rtol=1e-4, atol=1e-6)
    moved = F.cross_entropy(net(x + 0.3 * slope.sign()), torch.tensor(shares)).detach()
    np.testing.assert_allclose(actual.adversarial_loss[0, 1], moved, rtol=1e-4)


def test_attribution__without_targets_it_shows_what_units_want(batch):
    actual = attribution(run_of(snapshots(Net), Net, batch[0]), **FAST).compute()
    kept = {"image", "sample_index", "predicted", "activation_map", "top_samples", "top_response", "nonfinite"}
    assert set(actual) == kept | {"maximum_response", "maximum_response_value"}
    assert actual.sizes["sample"] == 10


def test_attribution__units_have_the_same_noise_whichever_are_asked_for(run, result):
    actual = attribution(run, units=[5, 2], ascent_steps=4, norm=1.0).compute()
    assert actual.unit.values.tolist() == [5, 2]
    np.testing.assert_allclose(actual.maximum_response, result.maximum_response.sel(unit=[5, 2]), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(actual.top_samples, result.top_samples.sel(unit=[5, 2]))
    np.testing.assert_array_equal(actual.activation_map, result.activation_map.sel(unit=[5, 2]))


def test_attribution__strongest_inputs_have_the_norm_that_is_asked_for(run, batch):
    for norm, expected in ((1.0, 1.0), (3.0, 3.0), (0.0, batch[0].flatten(1).norm(dim=1).mean())):
        actual = attribution(run, norm=norm, epsilons=[], ascent_steps=3).compute()
        sizes = np.sqrt((actual.maximum_response**2).sum(["channel", "y", "x"]))
        np.testing.assert_allclose(sizes, expected, rtol=1e-5)
        assert "adversarial_accuracy" not in actual and "adversarial" in actual


def test_attribution__of_an_earlier_layer(run, batch):
    actual = attribution(run, layer="conv1", **FAST).compute()
    assert actual.attrs["layer"] == "conv1" and actual.grad_cam.shape[2:] == (8, 8) and actual.sizes["unit"] == 4


def test_attribution__a_line_has_a_grad_cam_along_it(rng):
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 2))
    inputs, targets = rng.standard_normal((4, 2, 9)).astype(np.float32), np.array([0, 1, 0, 1])
    mask = np.ones((4, 9))
    probe = as_probe((inputs, targets)).assign(mask=(("sample", "x"), mask))
    actual = attribution(run_of([net], net, (inputs, targets)).with_model(None, probe=probe), **FAST).compute()
    assert actual.input_gradient.dims == ("step", "sample", "channel", "x")
    assert actual.grad_cam.dims == ("step", "sample", "map_x") and actual.attention_iou.sizes["map"] == 2
    assert np.isfinite(actual.attention_iou.sel(map="input_gradient")).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"objective": "entropy"}, "loss, logit, p_logit"),
        ({"epsilon": -1.0}, "epsilon=-1.0"),
        ({"epsilons": [float("nan")]}, "epsilons"),
        ({"ascent_steps": -1}, "ascent_steps=-1"),
        ({"ascent_rate": 0.0}, "ascent_rate=0.0"),
        ({"top_k": 0}, "top_k=0"),
        ({"norm": float("inf")}, "norm; found inf"),
        ({"max_units": 0}, "max_units=0"),
        ({"units": [6]}, "conv2 has units 0 to 5"),
        ({"samples": [11]}, "11"),
        ({"max_samples": 0}, "0"),
        ({"map_sample": 3}, "3 samples are shown"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"layer": "conv3"}, "conv2"),
        ({"layer": "conv*"}, "conv1, conv2"),
    ],
)
def test_attribution__settings_that_make_no_sense_are_told(run, settings, said):
    with pytest.raises(BadSetting, match=said.replace("*", r"\*")):
        attribution(run, **settings)


def test_attribution__a_step_that_was_not_recorded_is_told(run):
    with pytest.raises(MissingData, match="step 7"):
        attribution(run, steps=[7])


def test_attribution__a_module_named_as_the_inputs_is_told(rng):
    net = nn.Sequential()
    net.add_module("input", nn.Linear(3, 2))
    run = run_of([net], net, (rng.standard_normal((4, 3)).astype(np.float32), np.array([0, 1, 0, 1])))
    with pytest.raises(BadSetting, match="'input'"):
        attribution(run)


def test_attribution__every_variable_is_described(result):
    for variable in result.data_vars.values():
        assert set(variable.attrs) >= {"long_name", "units", "definition"}
    assert isinstance(result, xr.Dataset) and result.attrs["probe_sha256"]


@pytest.mark.parametrize("negative", [0, -1])
def test_attribution__of_a_single_output_is_that_of_its_logit(negative):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    x = torch.randn(40, 2)
    positive = x[:, 0] < 0
    y = torch.where(positive, 1, negative)
    run = trajlab.from_arrays({name: value.detach().numpy()[None] for name, value in net.state_dict().items()})
    actual = trajlab.run("attribution", run, model=net, probe=(x, y), epsilons=[0.0, 0.3], ascent_steps=0).compute()

    inputs = x.clone().requires_grad_()
    z = net(inputs)[:, 0]
    nn.functional.binary_cross_entropy_with_logits(z, positive.float(), reduction="sum").backward()
    index = actual.sample_index.values
    np.testing.assert_allclose(actual.input_gradient[0], inputs.grad[index], rtol=1e-4, atol=1e-7)
    assert actual.predicted[0].values.tolist() == (z[index] > 0).double().tolist()
    assert sorted(actual.target.values.tolist()) == [negative, 1]
    with torch.no_grad():
        attacked = net(x + 0.3 * inputs.grad.sign())[:, 0]
        losses = nn.functional.binary_cross_entropy_with_logits(attacked, positive.float())
    assert actual.adversarial_loss[0, 1].item() == pytest.approx(losses.item(), rel=1e-5)
    assert actual.adversarial_accuracy[0, 1].item() == pytest.approx(
        ((attacked > 0) == positive).double().mean().item()
    )
    assert actual.adversarial_loss[0, 0] < actual.adversarial_loss[0, 1]
