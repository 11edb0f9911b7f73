import numpy as np
import pytest

from trajlab.replays.observers.channel_statistics import (
    LEVEL,
    STATISTICS,
    chance_variation,
    chance_variation_of_variance,
    statistics_of,
)


def variation(values):
    mean = values.mean(0)
    return mean.std() / mean.mean()


def samples(rng, channels=40, own=0.3, scale=1.0):
    """Return 24 samples that differ in a scale that all channels share, and in each channel independently."""
    common = np.exp(scale * rng.standard_normal((24, 1)))
    return common * (1 + own * rng.uniform(-1, 1, (24, channels)))


@pytest.mark.parametrize("channels", [5, 40, 400])
@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_alike__is_the_quantile_of_shuffled_channels(channels, scale):
    rng = np.random.default_rng(0)
    values = samples(rng, channels, scale=scale)
    shuffled = [variation(rng.permuted(values, axis=1)) for _ in range(2000)]

    np.testing.assert_allclose(chance_variation(values), np.quantile(shuffled, LEVEL), rtol=0.04)


def test_alike__channels_are_beyond_it_as_often_as_it_says():
    rng = np.random.default_rng(1)
    draws = [samples(rng) for _ in range(1000)]

    assert 0.03 < np.mean([variation(draw) > chance_variation(draw) for draw in draws]) < 0.07


def test_alike__does_not_depend_on_what_all_channels_of_a_sample_have_in_common():
    rng = np.random.default_rng(2)
    channels = 1 + 0.02 * np.linspace(-1, 1, 40)
    values = samples(rng, own=0.02) * channels

    assert values.std(0).mean() / np.sqrt(len(values)) / values.mean() > 10 * variation(values)
    assert variation(values) > 1.4 * chance_variation(values)


def test_alike__is_unknown_where_shuffling_changes_nothing():
    one = np.random.default_rng(3).uniform(1, 2, (4, 5))
    alone = np.vstack([one[:1], np.ones((3, 5))])

    assert all(np.isnan(chance_variation(values)) for values in (one[:1], one[:, :1], 0 * one, alone, one * np.nan))
    assert chance_variation(np.ones((4, 5))) == 0
    assert chance_variation(np.vstack([one, np.full((1, 5), np.inf)])) == chance_variation(one)


@pytest.mark.parametrize("count", [8, 40])
def test_variance_alike__identical_channels_are_beyond_it_in_one_case_of_20(count):
    rng = np.random.default_rng(4)
    beyond = []
    for _ in range(400):
        values = np.exp(rng.standard_normal((count, 1))) * rng.exponential(size=(count, 6))
        variances = values.var(0)
        beyond.append(variances.std() / variances.mean() > chance_variation_of_variance(values))
    assert 0.02 < np.mean(beyond) < 0.085


def test_variance_alike__channels_of_other_variance_are_beyond_it():
    rng = np.random.default_rng(5)
    values = 10 + rng.standard_normal((60, 8)) * np.array([1, 1, 1, 1, 3, 3, 3, 3])
    variances = values.var(0)
    assert variances.std() / variances.mean() > 1.2 * chance_variation_of_variance(values)
    assert variation(values) < 2 * chance_variation(values)  # their means are alike
    broken = np.vstack([values, np.full((1, 8), np.nan)])
    assert chance_variation_of_variance(broken) == chance_variation_of_variance(values)
    assert all(np.isnan(chance_variation_of_variance(few)) for few in (values[:1], values[:, :1], np.ones((4, 3))))


def test_statistics_of__each_column_over_its_finite_rows():
    values = np.array([[1.0, np.nan, np.inf], [3, 5, np.nan], [8, np.inf, np.nan]], np.float32)

    columns = dict(zip(STATISTICS, statistics_of(values), strict=True))

    np.testing.assert_allclose(columns["mean"], [4, 5, np.nan])
    np.testing.assert_allclose(columns["variance"], [26 / 3, 0, np.nan])
    np.testing.assert_allclose(columns["quantile_0.25"], [2, 5, np.nan])
    np.testing.assert_allclose([columns["quantile_0"][0], columns["quantile_1"][0]], [1, 8])


def test_statistics_of__no_sample_and_no_channel():
    assert np.isnan(statistics_of(np.empty((0, 2)))).all() and statistics_of(np.empty((0, 2))).shape == (7, 2)
    assert statistics_of(np.empty((4, 0))).shape == (7, 0)
