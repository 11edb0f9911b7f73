import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models import resnet18

import trajlab
from trajlab.scan.kernels.causes import CAUSES, UnitShape, bits_of, causes, compressed, set_bits


def causes_of(inert, shape, indices=None):
    """Causes of inert entries, (entry) bool, by way of bits."""
    return causes(compressed(np.packbits(~inert), inert.size), shape, indices)


def causes_by_hand(inert, shape, indices=None):
    """Count entry by entry, from the definitions."""
    positions = np.arange(inert.size) if indices is None else indices
    place = np.array(np.unravel_index(positions, shape.sizes)).T.reshape(len(positions), -1)
    taps = [tuple(at[2:]) if shape.has_taps and len(at) > 2 else () for at in place.tolist()]
    units = [tuple(at[axis] for axis in shape.unit_axes) for at in place.tolist()]
    used_taps = {tap for tap, is_inert in zip(taps, inert, strict=True) if not is_inert}
    used_units = {unit for unit, is_inert in zip(units, inert, strict=True) if not is_inert}
    counts = dict.fromkeys(CAUSES, 0)
    for tap, unit, is_inert in zip(taps, units, inert, strict=True):
        if is_inert:
            if not used_units:
                counts["frozen"] += 1
            elif tap != () and tap not in used_taps:
                counts["structural"] += 1
            else:
                counts["static" if unit in used_units else "dead_unit"] += 1
    return list(counts.values())


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    axes=st.sampled_from([(0,), (1,), (0, 1), (0, 2), (2,), (1, 2)]),
    has_taps=st.booleans(),
    share=st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]),
    sampled=st.booleans(),
    seed=st.integers(0, 9),
)
def test_causes__agree_with_counting_entry_by_entry(sizes, axes, has_taps, share, sampled, seed):
    rng = np.random.default_rng(seed)
    shape = UnitShape(tuple(sizes), tuple(axis for axis in axes if axis < len(sizes)) or (0,), has_taps)
    size = int(np.prod(sizes))
    indices = np.sort(rng.choice(size, rng.integers(1, size + 1), replace=False)) if sampled else None
    inert = rng.random(size if indices is None else len(indices)) < share
    assert causes_of(inert, shape, indices).tolist() == causes_by_hand(inert, shape, indices)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 64, 100])
def test_bits__are_those_of_numpy_whatever_the_tiles(rng, size):
    marks = (rng.random(size) < 0.5).astype(np.uint8)
    bits = bits_of(size)
    for lo in range(0, size, 24):
        set_bits(marks[lo : lo + 24], lo, bits)
    np.testing.assert_array_equal(bits, np.packbits(marks))
    assert compressed(np.packbits(np.ones(size, bool)), size) is None
    assert compressed(np.zeros_like(bits), size).size == 0
    almost = np.packbits(np.arange(size + 1) != size)
    assert compressed(almost, size + 1) is almost


@pytest.mark.parametrize("shape", [(2048, 2048), (2048, 2047), (1 << 22,)])
def test_causes__of_a_whole_parameter_take_no_array_of_its_entries(shape):
    active = np.zeros(shape, bool)
    active[(slice(1, None, 2), slice(None, None, 3))[: len(shape)]] = True
    bits = np.packbits(active)
    causes(bits, UnitShape(shape))
    tracemalloc.start()
    actual = causes(bits, UnitShape(shape))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    dead = active.size / 2 if len(shape) > 1 else active.size - active.sum()
    assert actual.tolist() == [0, dead, 0, active.size - active.sum() - dead]
    assert peak < active.size / 7


def test_causes__a_frozen_parameter():
    assert causes_of(np.ones(12, bool), UnitShape((3, 4))).tolist() == [0, 0, 12, 0]


def test_causes__outer_taps_of_kernels_on_1x1_maps():
    inert = np.ones((8, 4, 3, 3), bool)
    inert[:, :, 1, 1] = False
    assert causes_of(inert.ravel(), UnitShape(inert.shape)).tolist() == [8 * 4 * 8, 0, 0, 0]


def test_causes__a_dead_unit_beside_unused_taps():
    inert = np.zeros((3, 2, 3, 3), bool)
    inert[:, :, 0, 0] = True
    inert[1] = True
    inert[0, 0, 2, 2] = True
    assert causes_of(inert.ravel(), UnitShape(inert.shape)).tolist() == [6, 16, 0, 1]


def test_causes__of_a_sample(rng):
    inert = np.zeros((4, 2, 3, 3), bool)
    inert[:, :, 0] = True
    inert[2] = True
    index = np.sort(rng.choice(inert.size, 60, replace=False))
    actual = causes_of(inert.ravel()[index], UnitShape(inert.shape), index)
    tap, unit = index % 9 < 3, index // 18 == 2
    assert actual.tolist() == [tap.sum(), (unit & ~tap).sum(), 0, 0]


def test_causes__of_a_scalar_and_of_nothing():
    assert causes_of(np.ones(1, bool), UnitShape(())).tolist() == [0, 0, 1, 0]
    assert causes_of(np.zeros(0, bool), UnitShape((0, 3))).tolist() == [0, 0, 0, 0]


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
