import numpy as np

import trajlab


def test_example__has_the_properties_it_is_said_to_have():
    run = trajlab.example(seed=3)
    conv, fc = run.gradients["conv.weight"].values, run.gradients["fc.weight"].values
    assert not conv[..., [0, 0, 2, 2], [0, 2, 0, 2]].any() and conv[..., 1, 1].all()
    assert not fc[:, -1].any() and fc[:, :-1].all() and "frozen.weight" not in run.gradients
    assert (np.ptp(run.weights["frozen.weight"].values, axis=0) == 0).all()
    loss = run.metrics.loss.values
    assert loss[-1] < loss[0] / 2 and run.metrics.epoch.values.tolist() == [step // 5 for step in range(20)]


def test_example__each_row_is_the_gradient_step_of_the_one_before():
    run = trajlab.example(steps=4)
    weights, gradients = (group["fc.bias"].values for group in (run.weights, run.gradients))
    np.testing.assert_allclose(np.diff(weights, axis=0), -0.1 * gradients, rtol=1e-5, atol=1e-7)


def test_example__is_fixed_by_its_seed_and_may_have_no_step():
    first, again, other = (trajlab.example(seed=seed).weights["fc.weight"].values for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert trajlab.example(steps=0).weights["fc.weight"].sizes["step"] == 1
