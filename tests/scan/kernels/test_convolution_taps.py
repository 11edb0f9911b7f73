import numpy as np
import pytest
import torch
from torch import nn

from tests.scan.kernels.test_local_gradients import convolution_of
from trajlab.scan.kernels.convolution_taps import taps_of

CASES = {
    "plain": (nn.Conv1d(1, 1, 3), (7,)),
    "stride": (nn.Conv1d(1, 1, 3, stride=2, padding=1), (8,)),
    "stride beyond the kernel": (nn.Conv1d(1, 1, 2, stride=5), (11,)),
    "dilation": (nn.Conv2d(1, 1, (2, 3), dilation=(2, 1), padding=(1, 0)), (6, 5)),
    "reflect": (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), (4, 5)),
    "circular": (nn.Conv1d(1, 1, 4, padding="same", padding_mode="circular"), (6,)),
    "replicate": (nn.Conv1d(1, 1, 5, padding=2, stride=2, padding_mode="replicate"), (7,)),
    "transposed": (nn.ConvTranspose1d(1, 1, 3, stride=2, padding=1), (5,)),
}


@pytest.mark.parametrize("name", CASES)
def test_taps__lead_from_each_input_to_the_outputs_that_depend_on_it(name):
    """The gradient by the inputs, summed tap by tap as laid out, is that of autograd."""
    module, size = CASES[name]
    module = module.double()
    inputs = torch.randn(1, 1, *size, dtype=torch.float64, requires_grad=True)
    outputs = module(inputs)
    gradient = torch.randn_like(outputs)
    (expected,) = torch.autograd.grad(outputs, inputs, gradient)

    taps = taps_of(convolution_of(module, size, tuple(outputs.shape[2:])))
    row = np.zeros(taps.span)
    np.add.at(row, taps.target, gradient.numpy().ravel()[taps.source])
    kernel = module.weight.detach().numpy().ravel()
    phases = zip(taps.phase_taps[:-1], taps.phase_taps[1:], taps.phase_bases[:-1], taps.phase_bases[1:], strict=True)
    reached = []
    for first, last, low, high in phases:
        base = taps.base[low:high]
        reached += sum(kernel[taps.order[t]] * row[base + taps.offset[t]] for t in range(first, last)).tolist()
    missed = [0.0] * (int(np.prod(size)) - len(reached))
    np.testing.assert_allclose(sorted(reached + missed), np.sort(expected.numpy().ravel()), atol=1e-12)


def test_taps__each_tap_is_in_one_phase():
    module, size = CASES["stride"]
    taps = taps_of(convolution_of(module, size, tuple(module(torch.zeros(1, 1, *size, dtype=torch.float64)).shape[2:])))
    assert sorted(taps.order.tolist()) == [0, 1, 2] and len(taps.phase_taps) == 3
    assert taps.phase_bases[-1] == size[0]
