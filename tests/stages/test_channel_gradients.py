import dask
import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

import trajlab
from pipelines.zoo import resnet18
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import figure, panels
from trajlab.replays.observers.channel_statistics import chance_variation, chance_variation_of_variance
from trajlab.replays.stateless import Network
from trajlab.reports.findings import findings, headlines
from trajlab.running.fuse import fuse_scans
from trajlab.scan.kernels.local_gradients import OF_INPUTS, OF_OUTPUTS
from trajlab.stages.channel_gradients import channel_gradients

QUANTITIES = dict.fromkeys(OF_OUTPUTS, "unit") | dict.fromkeys(OF_INPUTS, "input_unit")
LAYERS = ["stem", "wide", "deep", "short"]


class Net(nn.Module):
    """A residual block in which `wide` and `short` read the same maps."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.wide = nn.Conv2d(8, 20, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(20)
        self.relu = nn.ReLU(inplace=True)
        self.deep = nn.Conv2d(20, 12, (1, 3), groups=4, padding="same")
        self.short = nn.Conv2d(8, 12, 1, stride=2)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        y = self.deep(self.relu(self.norm(self.wide(x)))) + self.short(x)
        return self.head(torch.tanh(y).mean((2, 3)))


def run_of(net, steps=(0, 3, 7), dtype=None, change=None):
    """Snapshots of a network with weights anew at each step."""
    weights, buffers = {}, {}
    for number, _ in enumerate(steps):
        torch.manual_seed(number)
        for module in net.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        if change:
            change(net, number)
        for group, named in ((weights, net.named_parameters()), (buffers, net.named_buffers())):
            for name, value in named:
                group.setdefault(name, []).append(value.detach().to(dtype or value.dtype).float().numpy().copy())
    stacked = [{name: np.stack(rows) for name, rows in group.items()} for group in (weights, buffers)]
    return trajlab.from_arrays(stacked[0], buffers=stacked[1], steps=list(steps))


@pytest.fixture(scope="module")
def run():
    return run_of(Net())


@pytest.fixture(scope="module")
def probe():
    torch.manual_seed(1)
    return torch.randn(9, 3, 7, 6), torch.randint(0, 5, (9,))


def given(run, probe, model=Net, **settings):
    return trajlab.run("channel_gradients", run, model=model, probe=probe, **settings)


def by_loop(net, state, probe, objective):
    """Per layer and sample each quantity, with a backward pass for every channel of every convolution."""
    net = net.double().eval()
    net.load_state_dict(state)
    inputs, targets = probe[0].double(), probe[1]
    went_in, came_out = {}, {}

    def hook(name):
        def hear(module, inputs, output):
            went_in[name], came_out[name] = inputs[0], output
            output.retain_grad()

        return hear

    handles = [getattr(net, name).register_forward_hook(hook(name)) for name in LAYERS]
    logits = net(inputs)
    for handle in handles:
        handle.remove()
    own = logits.gather(1, targets[:, None])[:, 0]
    value = {
        "loss": lambda: F.cross_entropy(logits, targets, reduction="sum"),
        "logit": lambda: own.sum(),
        "p_logit": lambda: (own * logits.softmax(1).gather(1, targets[:, None])[:, 0].detach()).sum(),
    }[objective]()
    value.backward()
    actual = {}
    for name in LAYERS:
        module, gradient = getattr(net, name), came_out[name].grad
        maps = went_in[name].detach().requires_grad_()
        output = module(maps)
        local = []
        for channel in range(output.shape[1]):
            alone = torch.zeros_like(output)
            alone[:, channel] = gradient[:, channel]
            local.append(torch.autograd.grad(output, maps, alone, retain_graph=True)[0].flatten(2))
        local = torch.stack(local, 1)
        (whole,) = torch.autograd.grad(output, maps, gradient)
        sent = local.norm(dim=3)
        actual[name] = {
            "em_sum": sent.sum(2), "em_l2": sent.square().sum(2).sqrt(), "ab_out": gradient.flatten(2).norm(dim=2),
            "em_sum_l1": local.abs().sum((2, 3)), "ab_out_l1": gradient.flatten(2).abs().sum(2),
            "ab_sum": sent.sum(1), "ab_l2": sent.square().sum(1).sqrt(), "ab_net": whole.flatten(2).norm(dim=2),
            "ab_sum_l1": local.abs().sum((1, 3)), "ab_net_l1": whole.flatten(2).abs().sum(2),
            "norm": module.weight.detach().flatten(1).norm(dim=1),
        }  # fmt: skip
        actual[name] = {key: value.detach().numpy() for key, value in actual[name].items()}
    return actual


@pytest.mark.parametrize("objective", ["loss", "logit", "p_logit"])
def test_channel_gradients__agree_with_a_loop_over_channels(run, probe, objective):
    result = given(run, probe, objective=objective, per_sample=True).compute()

    assert result.layer.values.tolist() == ["stem", "wide", "deep", "short"]
    assert result.units.values.tolist() == [8, 20, 12, 12]
    assert result.input_units.values.tolist() == [3, 8, 20, 8]
    assert result.attrs["objective"] == objective
    for step in (0, 7):
        expected = by_loop(Net(), run.at(step), probe, objective)
        for layer in LAYERS:
            here = result.sel(step=step, layer=layer)
            for name, dim in QUANTITIES.items():
                each = expected[layer][name]
                some = {dim: slice(each.shape[1])}
                close = {"rtol": 1e-4, "atol": 1e-5 * each.max(), "err_msg": f"{layer} {name}"}
                np.testing.assert_allclose(here[f"{name}_sample"].isel(some), each, **close)
                np.testing.assert_allclose(here[name].isel(some), each.mean(0), **close)
                np.testing.assert_allclose(here[f"{name}_variance"].isel(some), each.var(0), rtol=1e-3, atol=1e-12)
                quantiles = np.quantile(each, [0, 0.25, 0.5, 0.75, 1], axis=0).T
                np.testing.assert_allclose(here[f"{name}_quantile"].isel(some), quantiles, **close)
                assert np.isnan(here[name].isel({dim: slice(each.shape[1], None)})).all()
                mean = each.mean(0)
                np.testing.assert_allclose(here[f"{name}_channel_mean"], mean.mean(), rtol=1e-4)
                np.testing.assert_allclose(here[f"{name}_channel_variance"], mean.var(), rtol=1e-2)
                np.testing.assert_allclose(here[f"{name}_channel_cv"], mean.std() / mean.mean(), rtol=1e-2)
                np.testing.assert_allclose(here[f"{name}_channel_noise"], chance_variation(each), rtol=1e-2)
            norm = expected[layer]["norm"]
            np.testing.assert_allclose(here.filter_norm[: len(norm)], norm, rtol=1e-5)
            r = np.corrcoef(norm, expected[layer]["em_sum"].mean(0))[0, 1]
            np.testing.assert_allclose(here.norm_correlation, r, atol=1e-3)
            np.testing.assert_allclose(here.filter_norm_channel_cv, norm.std() / norm.mean(), rtol=1e-4)
            sent, arrived = (expected[layer][name].mean(0) for name in ("em_sum", "ab_out"))
            by_norm = sent / norm
            np.testing.assert_allclose(here.em_per_norm_channel_cv, by_norm.std() / by_norm.mean(), rtol=1e-3)
            np.testing.assert_allclose(here.out_correlation, np.corrcoef(sent, arrived)[0, 1], atol=1e-3)
            np.testing.assert_allclose(here.cv_ratio, here.em_sum_channel_cv / here.ab_sum_channel_cv)
            np.testing.assert_allclose(here.net_cv_ratio, here.em_sum_channel_cv / here.ab_net_channel_cv)
            for name in ("em_sum", "ab_sum"):
                each = expected[layer][name]
                variance = each.var(0)
                cv = variance.std() / variance.mean()
                np.testing.assert_allclose(here[f"{name}_variance_channel_cv"], cv, rtol=1e-2)
                bound = chance_variation_of_variance(each)
                np.testing.assert_allclose(here[f"{name}_variance_channel_noise"], bound, rtol=1e-2)
            over_samples = [expected[layer][name] for name in ("em_sum", "ab_sum")]
            variances = [each.var(0) for each in over_samples]
            np.testing.assert_allclose(here.variance_ratio, variances[0].mean() / variances[1].mean(), rtol=1e-3)
            relative = [(each.var(0) / each.mean(0) ** 2).mean() for each in over_samples]
            np.testing.assert_allclose(here.relative_variance_ratio, relative[0] / relative[1], rtol=1e-3)
    assert (result.nonfinite == 0).all()
    np.testing.assert_allclose(result.median_cv_ratio, result.cv_ratio.median("layer"))
    np.testing.assert_allclose(result.median_variance_ratio, result.variance_ratio.median("layer"))


def batches_of_one(net, state, probe):
    """Return the gradients at the outputs of all layers with the published signal and batch normalization.

    One sample at a time through the network in training mode, backward from one-hot times softmax.
    """
    net = net.double().train()
    came_out, gradients = {}, {name: [] for name in LAYERS}

    def hook(name):
        def hear(module, inputs, output):
            output.retain_grad()
            came_out[name] = output

        return hear

    for name in LAYERS:
        getattr(net, name).register_forward_hook(hook(name))
    for image, label in zip(*probe, strict=True):
        net.load_state_dict(state)
        logits = net(image[None].double())
        signal = torch.zeros_like(logits)
        signal[0, label] = logits.softmax(1)[0, label]
        logits.backward(gradient=signal.detach())
        for name in LAYERS:
            gradients[name].append(came_out[name].grad[0])
    return {name: torch.stack(rows) for name, rows in gradients.items()}


def test_channel_gradients__as_published_are_of_batches_of_one_and_of_a_constant_probability(run, probe):
    settings = {"objective": "p_logit", "per_sample": True}
    result = given(run, probe, mode="train", **settings).compute()
    assert result.attrs["mode"] == "train" and result.attrs["objective"] == "p_logit"
    net = Net()
    for step in (0, 7):
        for layer, gradient in batches_of_one(net, run.at(step), probe).items():
            here, module = result.sel(step=step, layer=layer), getattr(net, layer)
            size = probe[0].shape[2:] if layer == "stem" else None
            np.testing.assert_allclose(
                here.ab_out_sample[:, : gradient.shape[1]], gradient.flatten(2).norm(dim=2), rtol=1e-3, atol=1e-7
            )
            if size is None:
                continue
            for channel in range(gradient.shape[1]):
                alone = torch.zeros_like(gradient)
                alone[:, channel] = gradient[:, channel]
                shape = (len(gradient), 3, *size)
                sent = torch.nn.grad.conv2d_input(shape, module.weight.detach(), alone, padding=1).flatten(2)
                close = {"rtol": 1e-3, "atol": 1e-7}
                np.testing.assert_allclose(here.em_l2_sample[:, channel], sent.flatten(1).norm(dim=1), **close)
                np.testing.assert_allclose(here.em_sum_sample[:, channel], sent.norm(dim=2).sum(1), **close)
    assert abs(given(run, probe, **settings).compute().ab_out - result.ab_out).max() > 1e-3


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_channel_gradients__histograms_count_the_elements_of_each_channel(run, probe, mode):
    result = given(run, probe, histogram=True, mode=mode, objective="p_logit").compute()
    counts = result.gradient_histogram
    low, high = result.bin_low.values, result.bin_high.values
    np.testing.assert_array_equal(low[1:], high[:-1])
    assert (
        low[0] == -np.inf
        and high[-1] == np.inf
        and (low[len(low) // 2], high[len(low) // 2]) == (-(2.0**-32), 2.0**-32)
    )
    assert np.isnan(counts.sel(layer="stem")[:, 8:]).all()
    if mode == "train":
        for layer, gradient in batches_of_one(Net(), run.at(3), probe).items():
            by_unit = gradient.transpose(0, 1).flatten(1).numpy()
            here = counts.sel(step=3, layer=layer)[: len(by_unit)].values
            assert (here.sum(1) == by_unit.shape[1]).all()
            expected = [np.histogram(row, [*low, np.inf])[0] for row in by_unit]
            assert abs(here - expected).sum() <= 0.005 * by_unit.size  # elements at an edge, as these are float32


def test_channel_gradients__histograms_leave_out_what_is_not_finite(run, probe):
    inputs = probe[0].clone()
    inputs[2] = torch.inf
    result = given(run, (inputs, probe[1]), objective="logit", histogram=True).compute()
    whole = given(run, probe, objective="logit", histogram=True).compute()
    here, all_of_it = (each.gradient_histogram.sel(layer="stem").sum() for each in (result, whole))
    assert here == all_of_it * 8 / 9


def test_channel_gradients__every_convolution_counts_also_those_of_shortcuts():
    net = resnet18(stem="cifar", num_classes=3)
    run = trajlab.from_arrays(
        {name: value.detach().numpy()[None] for name, value in net.named_parameters()},
        buffers={name: value.numpy()[None] for name, value in net.named_buffers()},
    )
    result = given(
        run,
        (torch.randn(2, 3, 16, 16), torch.tensor([0, 2])),
        model=lambda: resnet18(stem="cifar", num_classes=3),
        mode="train",
    )
    names = result.layer.values.tolist()
    assert len(names) == 20 and [name for name in names if "downsample" in name] == [
        f"layer{stage}.0.downsample.0" for stage in (2, 3, 4)
    ]


def test_channel_gradients__the_training_mode_needs_normalization_of_several_values(run, probe):
    plain = lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(80, 5))  # noqa: E731
    with pytest.raises(BadSetting, match="Sequential in training mode: it has no batch normalization"):
        given(run_of(plain()), probe, model=plain, mode="train")
    with pytest.raises(BadSetting, match="mode='training': choose eval or train"):
        given(run, probe, mode="training")


def linear_net():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def test_channel_gradients__of_a_linear_layer_are_products_with_its_weights():
    # Loss (y − 0)² of y = v·(W x): G = 2 y v, at one sample.
    weight = np.array([[[1.0, 2.0], [0.0, -1.0], [3.0, 1.0]]])
    head = np.array([[[1.0, -2.0, 1.0]]])
    run = trajlab.from_arrays({"0.weight": weight, "0.bias": np.zeros((1, 3)), "1.weight": head,
                               "1.bias": np.zeros((1, 1))})  # fmt: skip
    inputs, targets = torch.tensor([[1.0, 1.0]]), torch.zeros(1, 1)
    result = given(run, (inputs, targets), model=linear_net, layers=["0"]).compute().isel(step=0, layer=0)
    y = 3.0 * 1 + (-1.0) * -2 + 4.0
    g = 2 * y * np.array([1.0, -2.0, 1.0])
    local = g[:, None] * weight[0]
    np.testing.assert_allclose(result.ab_out, abs(g), rtol=1e-6)
    np.testing.assert_allclose(result.em_sum, abs(local).sum(1), rtol=1e-6)
    np.testing.assert_allclose(result.em_l2, np.sqrt((local**2).sum(1)), rtol=1e-6)
    np.testing.assert_allclose(result.ab_sum, abs(local).sum(0), rtol=1e-6)
    np.testing.assert_allclose(result.ab_l2, np.sqrt((local**2).sum(0)), rtol=1e-6)
    np.testing.assert_allclose(result.ab_net, abs(local.sum(0)), rtol=1e-6)
    for name in ("em_sum", "ab_out", "ab_sum", "ab_net"):
        np.testing.assert_allclose(result[f"{name}_l1"], result[name], rtol=1e-6)  # at a single position
    assert np.isnan(result.variance_ratio) and np.isnan(result.relative_variance_ratio)
    assert (result.em_sum_variance == 0).all() and (result.em_sum_quantile == result.em_sum).all()


def test_channel_gradients__without_a_skip_net_absorption_is_the_gradient_of_the_maps(run, probe):
    result = given(run, probe, layers=["stem"], per_sample=True).compute().isel(step=0, layer=0)
    net = Net().eval()
    net.load_state_dict(run.at(0))
    inputs = probe[0].clone().requires_grad_()
    F.cross_entropy(net(inputs), probe[1], reduction="sum").backward()
    expected = inputs.grad.flatten(2).norm(dim=2)
    np.testing.assert_allclose(result.ab_net_sample[:, :3], expected, rtol=1e-4, atol=1e-6)


def test_channel_gradients__is_lazy(run, probe, no_compute):
    with no_compute():
        given(run, probe, per_sample=True)


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
@pytest.mark.parametrize("each", [False, True])
def test_channel_gradients__any_scheduler_gives_the_same_bits(run, probe, scheduler, each):
    result = given(run, probe, model=Net, per_sample=each)
    with dask.config.set(array_optimize=fuse_scans):
        fused = result.compute(scheduler=scheduler, num_workers=2)
    xr.testing.assert_identical(fused, result.compute(scheduler="sync"))


def test_channel_gradients__go_through_a_long_probe_in_batches(run, probe, monkeypatch):
    expected = given(run, probe).compute()
    monkeypatch.setattr("trajlab.sizes.BATCH_SAMPLES", 4)
    actual = given(run, probe).compute()
    xr.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_channel_gradients__count_what_is_not_finite_and_leave_it_out(run, probe):
    weights = {name: array.values.copy() for name, array in run.weights.items()}
    weights["deep.weight"][1, 4] = np.nan
    buffers = {name: array.values for name, array in run.buffers.items()}
    broken = trajlab.from_arrays(weights, buffers=buffers, steps=run.steps)
    result = given(broken, probe).compute()
    clean = given(run, probe).compute()
    assert (result.nonfinite.sel(step=3) > 0).all()
    assert np.isnan(result.em_sum.sel(step=3, layer="deep")).all()
    xr.testing.assert_allclose(result.isel(step=[0, 2]), clean.isel(step=[0, 2]))

    inputs = probe[0].clone()
    inputs[2] = torch.inf
    result = given(run, (inputs, probe[1]), objective="logit", per_sample=True).compute()
    kept = np.delete(np.arange(9), 2)
    assert result.nonfinite.sel(layer="stem").max() > 0
    each = result.em_sum_sample.sel(layer="stem").isel(sample=kept, unit=slice(8))
    np.testing.assert_allclose(result.em_sum.sel(layer="stem").isel(unit=slice(8)), each.mean("sample"), rtol=1e-6)


def test_channel_gradients__of_a_layer_without_gradient_are_zero_and_vary_in_no_known_way(run, probe):
    weights = {name: array.values.copy() for name, array in run.weights.items()}
    weights["head.weight"][:] = 0
    buffers = {name: array.values for name, array in run.buffers.items()}
    result = given(trajlab.from_arrays(weights, buffers=buffers), probe).compute().sel(layer="deep")
    assert (result.em_sum[:, :12] == 0).all() and (result.ab_net == 0).all()
    assert np.isnan(result.em_sum_channel_cv).all() and np.isnan(result.norm_correlation).all()


class Unused(Net):
    def forward(self, x):
        self.short(x.mean(1, keepdim=True).expand(-1, 8, -1, -1))
        return self.head(torch.tanh(self.deep(self.relu(self.norm(self.wide(torch.relu(self.stem(x))))))).mean((2, 3)))


def test_channel_gradients__of_a_layer_that_the_loss_does_not_depend_on_are_zero(run, probe):
    result = given(run, probe, model=Unused).compute().sel(layer="short")
    assert (result.em_sum[:, :12] == 0).all() and (result.filter_norm[:, :12] > 0).all()


def test_channel_gradients__one_sample_one_step_one_channel(probe):
    run = run_of(nn.Sequential(nn.Conv2d(3, 1, 3), nn.Flatten(), nn.Linear(20, 5)), steps=(4,))
    model = lambda: nn.Sequential(nn.Conv2d(3, 1, 3), nn.Flatten(), nn.Linear(20, 5))  # noqa: E731
    result = given(run, (probe[0][:1], probe[1][:1]), model=model).compute()
    assert result.em_sum.shape == (1, 1, 1) and result.em_sum.item() > 0
    assert (result.em_sum_variance == 0).all() and np.isnan(result.em_sum_channel_noise).all()
    assert np.isnan(result.em_sum_channel_cv).all() and np.isnan(result.norm_correlation).all()


def test_channel_gradients__of_bfloat16_snapshots_are_those_of_their_values(probe):
    half = run_of(Net(), dtype=torch.bfloat16)
    result = given(half, probe, per_sample=True).compute()
    expected = by_loop(Net(), half.at(3), probe, "loss")["wide"]["em_sum"]
    np.testing.assert_allclose(result.em_sum_sample.sel(step=3, layer="wide"), expected, rtol=1e-3, atol=1e-6)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 7)

    def forward(self, words):
        return self.head(self.block(self.table(words)))


def test_channel_gradients__of_a_transformer_on_words_take_positions_for_a_map():
    words, targets = torch.randint(0, 7, (4, 6)), torch.randint(0, 7, (4, 6))
    run = run_of(Words(), steps=(0,))
    result = given(run, (words, targets), model=Words, layers=["block.linear1", "head"], per_sample=True).compute()
    net = Words()
    net.load_state_dict(run.at(0))
    held = {}

    def hear(module, inputs, output):
        held["out"] = output
        output.retain_grad()

    net.block.linear1.register_forward_hook(hear)
    logits = net.eval()(words).permute(0, 2, 1)
    (F.cross_entropy(logits, targets, reduction="none").mean(1).sum()).backward()
    gradient, weight = held["out"].grad, net.block.linear1.weight.detach()
    local = gradient[..., :, None] * weight
    here = result.isel(step=0).sel(layer="block.linear1")
    np.testing.assert_allclose(here.em_sum_l1_sample, local.abs().sum((1, 3)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(here.em_sum_sample, local.norm(dim=1).sum(2), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(here.ab_net_sample[:, :8], local.sum(2).norm(dim=1), rtol=1e-3, atol=1e-6)


def test_channel_gradients__of_no_convolutions_say_what_to_name():
    run = run_of(linear_net())
    with pytest.raises(MissingData, match="layers"):
        given(run, (torch.ones(2, 2), torch.ones(2, 1)), model=linear_net)


def test_channel_gradients__say_what_is_wrong_before_anything_is_computed(run, probe):
    with pytest.raises(BadSetting, match="'entropy'.*loss, logit, p_logit"):
        given(run, probe, objective="entropy")
    with pytest.raises(MissingData, match="logit.*probe has no targets"):
        given(run, probe[0], objective="logit")
    with pytest.raises(BadSetting, match="relu.*ReLU"):
        given(run, probe, layers=["wide", "relu"])
    with pytest.raises(BadSetting, match="wide"):
        given(run, probe, layers=["wid"])


def normed():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.Flatten(), nn.LazyLinear(5))


def test_channel_gradients__a_weight_that_is_made_of_others_is_refused(probe):
    net = normed()
    net(probe[0])
    run = run_of(net)
    with pytest.raises(BadSetting, match="weight.*bias"):
        given(run, probe, model=net).compute()


def test_channel_gradients__share_a_pass_with_other_stages(run, probe, monkeypatch):
    passes = []
    watched = Network.watched
    monkeypatch.setattr(Network, "watched", lambda self, *inputs: passes.append(1) or watched(self, *inputs))
    settings = {"model": "tests.stages.test_channel_gradients:Net", "probe": probe}
    results = [trajlab.run(name, run, **settings) for name in ("channel_gradients", "dead_neurons")]
    with dask.config.set(array_optimize=fuse_scans, scheduler="sync"):
        dask.compute(*results)
    assert len(passes) == 3


@pytest.fixture(scope="module")
def study(run, probe):
    """Two runs, in which emission of the stem varies and goes with the norms."""
    other = run_of(Net(), change=lambda net, step: net.stem.weight.data[0].mul_(9.0))
    return given({"plain": run, "large": other}, probe, model=Net).compute()


@pytest.mark.parametrize("runs", [["large"], ["plain", "large"], "large"])
def test_figures__of_one_run_and_of_several_are_drawn(study, runs):
    result = study.sel(run=runs)
    keys = [panel.key for panel in panels(result)]
    assert keys == ["cv_ratio", "variance_ratio", "variation", "boxes", "sorted", "norms", "norm_correlation"]
    for panel in panels(result):
        drawing = Figure(panel.size, layout="constrained")
        panel.draw(drawing)
        drawing.canvas.draw()
        assert any(ax.has_data() for ax in drawing.axes), panel.key


def test_figure__box_plots_show_quartiles_of_channels_from_the_largest(study):
    ax = figure(study, variable="em_sum_quantile", layer="stem", run="large")
    means = study.em_sum.sel(run="large", layer="stem").isel(step=-1, unit=slice(8)).values
    assert ax.get_title() == "large, step 7, stem"
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), np.sort(means)[::-1])
    boxes = [patch.get_path().vertices[:, 1] for patch in ax.patches]
    largest = study.em_sum_quantile.sel(run="large", layer="stem").isel(step=-1, unit=int(means.argmax()))
    np.testing.assert_allclose([boxes[0].min(), boxes[0].max()], largest[[1, 3]])
    assert figure(study, variable="ab_sum_quantile").get_xlabel() == "input channels, largest first"


def test_figures__of_histograms_show_the_share_of_each_octave(run, probe):
    result = given(run, probe, histogram=True).compute()
    assert "histograms" in [panel.key for panel in panels(result)]
    ax = figure(result, variable="gradient_histogram", layer="wide")
    assert ax.get_title() == "step 7, wide" and ax.get_ylabel() == "output channel"
    counts = result.gradient_histogram.sel(layer="wide").isel(step=-1, unit=slice(20)).values
    occupied = np.flatnonzero((counts > 0).any(0))
    expected = (counts / counts.sum(1, keepdims=True))[:, occupied[0] : occupied[-1] + 1]
    np.testing.assert_allclose(ax.collections[0].get_array().filled(0).reshape(expected.shape), expected)
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert "0" in labels and "$2^{-8}$" in labels
    drawing = Figure()
    next(panel for panel in panels(result) if panel.key == "histograms").draw(drawing)
    assert [ax.get_title() for ax in drawing.axes[:3]] == ["stem", "deep", "short"]


def test_findings__name_layers_and_numbers(study):
    one = study.sel(run="large")
    texts = [sentences.text for sentences in findings(one)]
    ratio = one.cv_ratio.isel(step=-1)
    assert f"`{ratio.layer.values[ratio.values.argmax()]}`" in texts[0] and "4 layers" in texts[0]
    assert "`stem`" in texts[1]
    assert set(headlines(one)) == {"median_cv_ratio", "median_norm_correlation"}
    assert "medians of the runs" in findings(study)[0].text


def test_channel_gradients__run_by_name(run, probe):
    with pytest.raises(MissingData):
        trajlab.run(channel_gradients, run, model=Net)


@pytest.mark.parametrize("objective", ["loss", "binary", "logit", "p_logit"])
@pytest.mark.parametrize("negative", [0, -1])
def test_channel_gradients__of_a_single_output_are_those_of_its_logit(objective, negative):
    torch.manual_seed(0)
    run, x = run_of(linear_net()), torch.randn(9, 2)
    positive = torch.arange(9) % 2 == 0
    targets = torch.where(positive, 1, negative)
    result = given(run, (x, targets), model=linear_net, layers=["0"], objective=objective, per_sample=True).compute()

    net = linear_net()
    net.load_state_dict(run.at(0))
    hidden = net[0](x).detach().requires_grad_()
    z = net[1](hidden)[:, 0]
    own = torch.where(positive, z, -z)
    loss = nn.functional.binary_cross_entropy_with_logits(z, positive.float(), reduction="sum")
    values = {"logit": own.sum(), "p_logit": (torch.sigmoid(own).detach() * own).sum()}
    values.get(objective, loss).backward()
    np.testing.assert_allclose(result.ab_out_sample[0, 0], abs(hidden.grad), rtol=1e-5)
    assert (hidden.grad != 0).any()


def test_channel_gradients__of_several_labels_are_those_of_their_mean_loss():
    def build():
        return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))

    torch.manual_seed(0)
    run, x, y = run_of(build()), torch.randn(9, 2), (torch.arange(36).reshape(9, 4) % 3 == 0).float()
    result = given(run, (x, y), model=build, layers=["0"], per_sample=True).compute()
    net = build()
    net.load_state_dict(run.at(0))
    hidden = net[0](x).detach().requires_grad_()
    nn.functional.binary_cross_entropy_with_logits(net[1](hidden), y, reduction="none").mean(1).sum().backward()
    np.testing.assert_allclose(result.ab_out_sample[0, 0], abs(hidden.grad), rtol=1e-5)
    with pytest.raises(BadSetting, match="logit"):
        given(run, (x, y), model=build, layers=["0"], objective="logit").compute()
