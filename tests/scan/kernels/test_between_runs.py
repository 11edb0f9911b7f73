import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.between_runs import ACROSS, Across
from trajlab.scan.track import Track
from trajlab.sizes import TILE_ENTRIES


def table(a, b):
    """Compare rows with those of another run, None where it has none; both start with their first row."""
    known = [row for row in b if row is not None]
    position = np.cumsum([row is not None for row in b]) - 1
    position[[row is None for row in b]] = -1
    block = Block(Track(list(a), reference=a[0]), other=Track(known, reference=b[0], positions=position))
    ((out, _),) = reduce([Across()], block)
    return dict(zip(ACROSS, out.T, strict=True))


def test_across__hand_made_case():
    a = np.array([[1, 0, 2], [1, 3, 2]], np.float32)
    b = np.array([[0, 0, 2], [0, 1, 2]], np.float32)
    actual = table(a, b)
    assert actual["squares"].tolist() == [1, 5]
    assert actual["changed"].tolist() == [1, 2]
    assert actual["ab"].tolist() == [4, 7]
    assert actual["uv"].tolist() == [0, 3]
    assert (actual["uu"][1], actual["vv"][1]) == (9, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 3 * TILE_ENTRIES + 5])
def test_across__agrees_with_numpy(rng, dtype, size):
    a, b = rng.standard_normal((2, 4, size)).astype(dtype)
    b[2, : size // 2] = a[2, : size // 2]
    a[1, size // 3], b[3, -1], a[0, 0] = np.nan, np.inf, -np.inf  # the last is where the run started
    actual = table(a, b)
    for s in range(4):
        known = np.isfinite(a[s]) & np.isfinite(b[s])
        x, y = a[s, known].astype(float), b[s, known].astype(float)
        expected = {
            "nonfinite": (~known).sum(), "valid": known.sum(), "squares": ((x - y) ** 2).sum(), "aa": x @ x,
            "bb": y @ y, "ab": x @ y, "changed": (x != y).sum(),
        }  # fmt: skip
        known &= np.isfinite(a[0]) & np.isfinite(b[0])
        u, v = a[s, known].astype(float) - a[0, known], b[s, known].astype(float) - b[0, known]
        expected |= {"moved_valid": known.sum(), "uu": u @ u, "vv": v @ v, "uv": u @ v}
        for name, value in expected.items():
            np.testing.assert_allclose(actual[name][s], value, rtol=1e-12, atol=1e-10, err_msg=name)


def test_across__a_step_that_the_other_has_not_is_unknown(rng):
    a, b = rng.standard_normal((2, 3, 5))
    actual = table(a, [b[0], None, b[2]])
    assert np.isnan([actual[name][1] for name in ACROSS]).all()
    assert actual["squares"][2] == pytest.approx(((a[2] - b[2]) ** 2).sum())


def test_across__compares_bits_and_not_values():
    actual = table(np.array([[0.0, 1.0]], np.float32), np.array([[-0.0, 1.0]], np.float32))
    assert actual["changed"].tolist() == [1] and actual["squares"].tolist() == [0]
