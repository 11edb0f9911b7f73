import numpy as np
import pytest
import torch
from torch import nn

from trajlab.scan.kernels import local_gradients as kernel
from trajlab.scan.kernels.convolution_taps import Convolution
from trajlab.scan.kernels.local_gradients import OF_INPUTS, OF_OUTPUTS, Filters, Sums, local_gradients

QUANTITIES = Sums._fields


def convolution_of(module: nn.Module, size: tuple[int, ...], out: tuple[int, ...]) -> Convolution:
    pads = module._reversed_padding_repeated_twice
    pairs = tuple((pads[i], pads[i + 1]) for i in range(len(pads) - 2, -1, -2))
    return Convolution(
        size, out, module.kernel_size, module.stride, module.dilation, pairs, module.padding_mode, module.transposed
    )


def by_autograd(module: nn.Module, inputs: torch.Tensor, gradient: torch.Tensor) -> dict[str, np.ndarray]:
    """Every local gradient by a backward pass of its own, in float64; the sums of them."""
    module = module.double()
    inputs = inputs.double().requires_grad_()
    outputs = module(inputs)
    local = []
    for channel in range(outputs.shape[1]):
        alone = torch.zeros_like(outputs)
        alone[:, channel] = gradient[:, channel]
        local.append(torch.autograd.grad(outputs, inputs, alone, retain_graph=True)[0].flatten(2))
    local = torch.stack(local, 1)
    whole = torch.autograd.grad(outputs, inputs, gradient.double())[0]
    sent, gradient, whole = local.norm(dim=3), gradient.double().flatten(2), whole.flatten(2)
    actual = {
        "em_sum": sent.sum(2), "em_l2": sent.square().sum(2).sqrt(), "ab_out": gradient.norm(dim=2),
        "em_sum_l1": local.abs().sum((2, 3)), "ab_out_l1": gradient.abs().sum(2),
        "ab_sum": sent.sum(1), "ab_l2": sent.square().sum(1).sqrt(), "ab_net": whole.norm(dim=2),
        "ab_sum_l1": local.abs().sum((1, 3)), "ab_net_l1": whole.abs().sum(2),
    }  # fmt: skip
    return {name: value.numpy() for name, value in actual.items()}


CASES = {
    "3x3": (nn.Conv2d, (3, 5, 3), {}, (8, 7)),
    "padded": (nn.Conv2d, (20, 6, 3), {"padding": 1}, (8, 7)),
    "1x1": (nn.Conv2d, (70, 6, 1), {"stride": 2}, (5, 5)),
    "5x5": (nn.Conv2d, (3, 6, 5), {"padding": 2, "stride": 2}, (9, 9)),
    "non-square": (nn.Conv2d, (20, 33, (3, 5)), {"stride": (2, 1), "padding": (1, 2)}, (9, 8)),
    "stride beyond kernel": (nn.Conv2d, (4, 3, 2), {"stride": 3}, (9, 10)),
    "stride beyond map": (nn.Conv2d, (4, 3, 1), {"stride": 7}, (3, 3)),
    "dilated": (nn.Conv2d, (8, 12, 3), {"dilation": 2, "stride": (1, 3), "padding": 1, "groups": 4}, (9, 9)),
    "depthwise": (nn.Conv2d, (8, 16, 3), {"groups": 8, "padding": 1}, (6, 6)),
    "same": (nn.Conv2d, (3, 4, 4), {"padding": "same"}, (7, 6)),
    "reflect": (nn.Conv2d, (3, 4, 5), {"padding": "same", "padding_mode": "reflect"}, (7, 6)),
    "circular": (nn.Conv2d, (3, 4, 3), {"padding": 2, "stride": 2, "padding_mode": "circular"}, (7, 6)),
    "replicate": (nn.Conv2d, (4, 4, 5), {"padding": (2, 3), "groups": 2, "padding_mode": "replicate"}, (7, 6)),
    "wide padding": (nn.Conv2d, (2, 3, 2), {"padding": (5, 0)}, (3, 4)),
    "one position": (nn.Conv2d, (40, 7, 3), {"padding": 1}, (1, 1)),
    "large map": (nn.Conv2d, (100, 3, 3), {"padding": 1}, (40, 41)),
    "many channels": (nn.Conv2d, (200, 90, 3), {"padding": 1}, (4, 4)),
    "1d": (nn.Conv1d, (5, 7, 3), {"padding": 1, "dilation": 2}, (11,)),
    "1d circular": (nn.Conv1d, (5, 7, 4), {"padding": 2, "padding_mode": "circular"}, (11,)),
    "3d": (nn.Conv3d, (3, 4, (1, 3, 2)), {"padding": 1, "stride": (1, 2, 1)}, (4, 5, 6)),
    "transposed": (nn.ConvTranspose2d, (6, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (4, 5)),
    "transposed groups": (nn.ConvTranspose2d, (6, 4, 3), {"stride": 2, "groups": 2, "dilation": 2}, (4, 5)),
    "transposed 1d": (nn.ConvTranspose1d, (6, 4, 5), {"padding": 4}, (9,)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("case", CASES)
def test_local_gradients__are_those_of_autograd_to_rounding(case):
    torch.manual_seed(0)
    kind, arguments, settings, size = CASES[case]
    module = kind(*arguments, **settings)
    inputs = torch.randn(5, module.in_channels, *size)
    with torch.no_grad():
        outputs = module(inputs)
    gradient = torch.randn_like(outputs) * (torch.rand_like(outputs) > 0.4)
    convolution = convolution_of(module, size, tuple(outputs.shape[2:]))
    filters = Filters.of(module.weight.detach().numpy(), convolution, module.groups)

    actual = local_gradients(gradient.numpy(), filters)

    expected = by_autograd(module, inputs, gradient)
    for name in QUANTITIES:
        most = np.abs(expected[name]).max()
        np.testing.assert_allclose(getattr(actual, name), expected[name], rtol=2e-6, atol=1e-6 * most, err_msg=name)
    if not module.transposed:
        norms = module.weight.detach().double().flatten(1).norm(dim=1).numpy()
        np.testing.assert_allclose(filters.norm, norms, rtol=1e-6)


IDENTITY = Convolution((1, 2), (1, 2), (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)))


def by_hand(gradient, weight) -> dict[str, list[float]]:
    actual = local_gradients(np.array([gradient], np.float32), Filters.of(np.array(weight, np.float32), IDENTITY))
    return {name: getattr(actual, name)[0].tolist() for name in QUANTITIES}


def test_local_gradients__of_two_positions_and_two_channels_by_hand():
    # Two output channels with G = (1, -2) and (3, 0); kernels (1, -1) and (2, 4) to the two input channels.
    actual = by_hand([[[1.0, -2.0]], [[3.0, 0.0]]], [[[[1.0]], [[-1.0]]], [[[2.0]], [[4.0]]]])
    # LG of the first: (1, -2) and (-1, 2), norm √5 each; of the second: (6, 0) and (12, 0).
    expected = {
        "em_sum": [2 * 5**0.5, 18.0], "em_l2": [10**0.5, 180**0.5], "ab_out": [5**0.5, 3.0],
        "em_sum_l1": [6.0, 18.0], "ab_out_l1": [3.0, 3.0],
        "ab_sum": [5**0.5 + 6.0, 5**0.5 + 12.0], "ab_l2": [41**0.5, 149**0.5], "ab_net": [53**0.5, 125**0.5],
        "ab_sum_l1": [3.0 + 6.0, 3.0 + 12.0], "ab_net_l1": [7.0 + 2.0, 11.0 + 2.0],
    }  # fmt: skip
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(actual[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("size", [1e-36, 1e-25, 1e30])
def test_local_gradients__squares_do_not_leave_the_range_of_float32(size):
    actual = by_hand([[[size, -2 * size]], [[0.0, 0.0]]], [[[[1e-7]], [[-1e-7]]], [[[2.0]], [[4.0]]]])
    np.testing.assert_allclose(actual["em_l2"], [10**0.5 * size * 1e-7, 0], rtol=1e-6)
    np.testing.assert_allclose(actual["ab_net_l1"], [3 * size * 1e-7] * 2, rtol=1e-6)
    for name in ("em_sum", "ab_sum", "ab_l2", "ab_net", "ab_out"):
        largest = max(actual[name])
        expected = {"em_sum": 2 * 5**0.5, "ab_out": 5**0.5 * 1e7}.get(name, 5**0.5) * size * 1e-7
        assert largest == pytest.approx(expected, rel=1e-6), name


def test_local_gradients__channels_of_very_different_size_are_both_right():
    actual = by_hand([[[1e-30, 0.0]], [[1e5, 0.0]]], [[[[1.0]], [[3.0]]], [[[2.0]], [[4.0]]]])
    np.testing.assert_allclose(actual["em_sum"], [4e-30, 6e5], rtol=1e-6)
    np.testing.assert_allclose(actual["em_l2"], [10**0.5 * 1e-30, 20**0.5 * 1e5], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 1])
def test_local_gradients__nan_and_inf_go_on_to_what_they_reach(bad, position):
    gradient = np.zeros((1, 2, 1, 2), np.float32)
    gradient[0, 1] = 1.0
    gradient[0, 0, 0, position] = bad
    weight = np.array([[[[1.0]], [[2.0]]], [[[3.0]], [[4.0]]]], np.float32)
    actual = local_gradients(gradient, Filters.of(weight, IDENTITY))
    for name in OF_OUTPUTS:
        assert not np.isfinite(getattr(actual, name)[0, 0]), name
        assert np.isfinite(getattr(actual, name)[0, 1]), name
    assert not any(np.isfinite(getattr(actual, name)).any() for name in OF_INPUTS)


def test_local_gradients__a_nan_weight_spoils_its_own_channel_only():
    weight = np.array([[[[np.nan]], [[2.0]]], [[[3.0]], [[4.0]]]], np.float32)
    actual = local_gradients(np.ones((1, 2, 1, 2), np.float32), Filters.of(weight, IDENTITY))
    assert np.isnan(actual.em_sum_l1[0, 0]) and actual.em_sum_l1[0, 1] == 14.0
    assert np.isnan(actual.ab_sum_l1[0, 0]) and actual.ab_sum_l1[0, 1] == 12.0
    assert np.isnan(actual.em_sum[0, 0]) and actual.em_sum[0, 1] == pytest.approx(7 * 2**0.5)
    assert np.isnan(actual.ab_l2[0, 0]) and actual.ab_l2[0, 1] == pytest.approx(40**0.5)


def test_local_gradients__of_no_samples_are_none():
    weight = np.ones((2, 2, 1, 1), np.float32)
    assert local_gradients(np.ones((0, 2, 1, 2), np.float32), Filters.of(weight, IDENTITY)).em_sum.shape == (0, 2)


def test_local_gradients__do_not_depend_on_how_many_samples_and_positions_are_worked_on_at_once(rng, monkeypatch):
    gradient = rng.standard_normal((6, 5, 8, 8)).astype(np.float32)
    weight = rng.standard_normal((5, 20, 3, 3)).astype(np.float32)
    convolution = Convolution((8, 8), (8, 8), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))
    filters = Filters.of(weight, convolution)
    expected = local_gradients(gradient, filters)
    for some in np.array_split(np.arange(6), 4):
        for name, value in expected._asdict().items():
            np.testing.assert_allclose(getattr(local_gradients(gradient[some], filters), name), value[some], rtol=1e-6)
    monkeypatch.setattr(kernel, "RUN", 8)
    for name, value in expected._asdict().items():
        np.testing.assert_allclose(getattr(local_gradients(gradient, filters), name), value, rtol=2e-6)
