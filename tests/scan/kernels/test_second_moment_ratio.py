import numpy as np

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.second_moment_ratio import SECOND_MOMENT_RATIO, SecondMomentRatio
from trajlab.scan.track import Track

SCALES = ((2.0, 1.5, 0.9, 1e-2), (1.6, 1.3, 0.9, 1e-2))


def table(block):
    ((out, _),) = reduce([SecondMomentRatio((2, 6), SCALES)], block)
    return dict(zip(SECOND_MOMENT_RATIO, out.T, strict=True))


def test_second_moment_ratio__agrees_with_numpy_on_samples(rng):
    second, gradients = rng.random((2, 60)).astype(np.float32), rng.standard_normal((3, 5)).astype(np.float32)
    index = np.array([2, 3, 30, 31, 59])
    second[0, 3], gradients[0, 0], second[1, 59], gradients[1, 4] = np.nan, 0.0, 0.0, 0.0
    block = Block(
        Track(list(gradients)), Track(list(second), positions=np.array([0, -1, 1])), indices=index,
        step=np.array([2, 3, 6]), shape=(60,),
    )  # fmt: skip
    actual = table(block)
    assert np.isnan(actual["valid"][1])
    for step, row, (now, after, beta, epsilon) in ((0, 0, SCALES[0]), (2, 1, SCALES[1])):
        g, v = gradients[step].astype(float) ** 2, second[row, index].astype(float)
        g, v = g[np.isfinite(v)], v[np.isfinite(v)]
        r = g / np.maximum(after * (beta * v + (1 - beta) * g), epsilon**2)
        expected = {
            "valid": len(g), "gradient": g.sum(), "second": now * v.sum(), "relative": r.sum(),
            "gradient_gradient": (g * g).sum(), "gradient_second": now * (g * v).sum(),
            "second_second": now**2 * (v * v).sum(), "relative_relative": (r * r).sum(),
        }  # fmt: skip
        for name, value in expected.items():
            np.testing.assert_allclose(actual[name][step], value, rtol=1e-12, err_msg=name)


def test_second_moment_ratio__without_moments_or_epsilon():
    block = Block(Track([np.ones(3)]), step=np.array([2]))
    assert np.isnan(table(block)["valid"][0])
    zero = Block(Track([np.zeros(3)]), Track([np.zeros(3)]), step=np.array([2]))
    ((out, _),) = reduce([SecondMomentRatio((2,), ((1.0, 1.0, 0.9, 0.0),))], zero)
    assert out[0, SECOND_MOMENT_RATIO.index("relative")] == 0.0
