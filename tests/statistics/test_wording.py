import numpy as np
import pytest

from trajlab.statistics.wording import count, listed, number, share


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.00004, "< 0.01 %"), (0.0001, "0.01 %"), (0.0099, "0.99 %"), (0.0994, "9.9 %"), (0.4999, "50 %"),
        (0.9951, "99.5 %"), (0.9996, "99.96 %"), (1.0, "100 %"), (1.002, "100.2 %"), (12.3, "1,230 %"),
        (-0.25, "-25 %"), (-0.9999, "-99.99 %"), (np.nan, "–"), (np.inf, "∞"), (-np.inf, "−∞"),
        (np.float32(0.5), "50 %"),
    ],
)  # fmt: skip
def test_share__keeps_what_tells_it_from_0_and_all(value, words):
    assert share(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"), (-0.0, "0"), (12, "12"), (0.1 + 0.2, "0.3"), (999.6, "1e+03"), (1234.5, "1,234"),
        (1e12, "1,000,000,000,000"),
        (-5432.1, "-5,432"), (1e-300, "1e-300"), (np.int64(7), "7"), (np.inf, "∞"), (-np.inf, "−∞"), (np.nan, "–"),
    ],
)  # fmt: skip
def test_number__has_three_digits(value, words):
    assert number(value) == words


def test_count__of_one_none_and_a_float():
    assert [count(n, "layer") for n in (0, 1, 1.0)] == ["0 layers", "1 layer", "1 layer"]


def test_listed__of_one_and_two():
    assert listed(["a"]) == "a" and listed(["a", "b"]) == "a and b"
