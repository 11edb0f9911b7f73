import dask.array as da
import numpy as np

from trajlab.stages.attribution.ascent import fgsm, inputs_by_step, random_signs


def test_fgsm__steps_by_epsilon_along_the_sign_of_the_gradient(no_compute):
    inputs = np.array([[0.0, 1.0], [2.0, np.nan]], np.float32)
    gradient = da.from_array(np.array([[[3.0, -2], [0, 1]], [[-1, 0], [np.nan, 1]]], np.float32), chunks=(1, 2, 2))
    with no_compute():
        moved = fgsm(inputs, gradient, 0.5)
    np.testing.assert_array_equal(moved, [[[0.5, 0.5], [2, np.nan]], [[-0.5, 1], [np.nan, np.nan]]])
    assert moved.dtype == np.float32 and moved.numblocks[0] == 2
    np.testing.assert_array_equal(fgsm(da.from_array(inputs, chunks=1), gradient, 0.0)[0], inputs)


def test_random_signs__are_fixed_by_the_seed_and_of_the_type_of_the_inputs():
    inputs = np.zeros((50, 40), np.float16)
    signs = random_signs(inputs, 3).compute()
    assert signs.dtype == np.float16 and set(np.unique(signs)) == {-1, 1} and abs(signs.astype(float).mean()) < 0.1
    np.testing.assert_array_equal(signs, random_signs(inputs, 3))
    assert (signs != random_signs(inputs, 4).compute()).any()


def test_inputs_by_step__name_their_axes():
    probe = inputs_by_step(np.zeros((2, 3, 1, 5)), np.array([0, 7]))
    assert probe.inputs.dims == ("step", "sample", "input_0", "input_1") and probe.step.values.tolist() == [0, 7]
