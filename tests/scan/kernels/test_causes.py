import numpy as np
import pytest
import torch
from torchvision.models import resnet18

import trajlab
from trajlab.scan.kernels.causes import UnitShape, causes


def test_causes__a_frozen_parameter():
    assert causes(np.ones(12, bool), UnitShape((3, 4))).tolist() == [0, 0, 12, 0]


def test_causes__outer_taps_of_kernels_on_1x1_maps():
    inert = np.ones((8, 4, 3, 3), bool)
    inert[:, :, 1, 1] = False
    assert causes(inert.ravel(), UnitShape(inert.shape)).tolist() == [8 * 4 * 8, 0, 0, 0]


def test_causes__a_dead_unit_beside_unused_taps():
    inert = np.zeros((3, 2, 3, 3), bool)
    inert[:, :, 0, 0] = True
    inert[1] = True
    inert[0, 0, 2, 2] = True
    assert causes(inert.ravel(), UnitShape(inert.shape)).tolist() == [6, 16, 0, 1]


def test_causes__of_a_sample(rng):
    inert = np.zeros((4, 2, 3, 3), bool)
    inert[:, :, 0] = True
    inert[2] = True
    index = np.sort(rng.choice(inert.size, 60, replace=False))
    actual = causes(inert.ravel()[index], UnitShape(inert.shape), index)
    tap, unit = index % 9 < 3, index // 18 == 2
    assert actual.tolist() == [tap.sum(), (unit & ~tap).sum(), 0, 0]


def test_causes__of_a_scalar_and_of_nothing():
    assert causes(np.ones(1, bool), UnitShape(())).tolist() == [0, 0, 1, 0]
    assert causes(np.zeros(0, bool), UnitShape((0, 3))).tolist() == [0, 0, 0, 0]


def test_causes__resnet18_with_the_imagenet_stem_on_small_images():
    """Its last stage sees maps of 1×1: the outer taps of the kernels there meet nothing but padding."""
    torch.manual_seed(0)
    model = resnet18(num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    start = {name: weight.detach().clone().numpy() for name, weight in model.named_parameters()}
    gradients = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.arange(4))
        loss.backward()
        gradients.append({name: weight.grad.clone().numpy() for name, weight in model.named_parameters()})
        optimizer.step()
    end = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    run = trajlab.from_arrays(
        {name: np.stack([start[name], end[name]]) for name in start},
        {name: np.stack([step[name] for step in gradients]) for name in start},
    )
    unchanged = trajlab.run("drift", run).total_unchanged_cause.compute().to_series()
    always_zero = trajlab.run("zero_gradients", run).total_always_zero.compute().to_series()
    outer = 256 * 512 * 5 + 3 * 512 * 512 * 8  # of a 2×2 map four taps are left, of a 1×1 map one
    assert unchanged["structural"] == always_zero["structural"] == outer
    assert outer / sum(weight.size for weight in start.values()) == pytest.approx(0.6213, abs=5e-5)
