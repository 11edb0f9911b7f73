import numpy as np

from trajlab.kernels.causes import causes


def test_causes__a_frozen_parameter():
    assert causes(np.ones(12, bool), (3, 4)).tolist() == [0, 0, 12, 0]


def test_causes__outer_taps_of_kernels_on_1x1_maps():
    inert = np.ones((8, 4, 3, 3), bool)
    inert[:, :, 1, 1] = False
    assert causes(inert.ravel(), inert.shape).tolist() == [8 * 4 * 8, 0, 0, 0]


def test_causes__a_dead_unit_beside_unused_taps():
    inert = np.zeros((3, 2, 3, 3), bool)
    inert[:, :, 0, 0] = True
    inert[1] = True
    inert[0, 0, 2, 2] = True
    assert causes(inert.ravel(), inert.shape).tolist() == [6, 16, 0, 1]


def test_causes__of_a_sample(rng):
    inert = np.zeros((4, 2, 3, 3), bool)
    inert[:, :, 0] = True
    inert[2] = True
    index = np.sort(rng.choice(inert.size, 60, replace=False))
    found = causes(inert.ravel()[index], inert.shape, index)
    tap, unit = index % 9 < 3, index // 18 == 2
    assert found.tolist() == [tap.sum(), (unit & ~tap).sum(), 0, 0]


def test_causes__of_a_scalar_and_of_nothing():
    assert causes(np.ones(1, bool), ()).tolist() == [0, 0, 1, 0]
    assert causes(np.zeros(0, bool), (0, 3)).tolist() == [0, 0, 0, 0]
