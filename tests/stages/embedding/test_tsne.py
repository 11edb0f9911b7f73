import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from threadpoolctl import threadpool_limits

from trajlab.stages.embedding.neighbors import near
from trajlab.stages.embedding.tsne import aligned, embedded, neighborhood, turned


def clusters(rng, count=60, features=8):
    labels = np.arange(count) % 3
    return labels, rng.standard_normal((count, features)) + 8 * np.eye(features)[labels]


def by_us(points, perplexity=10.0, scores=None, seed=0):
    scores = PCA(2).fit_transform(points) if scores is None else scores
    around = near(points, most=neighborhood(perplexity, len(points)))
    return embedded(around.distances, around.indices, scores, perplexity, seed)


def test_embedded__agrees_with_scikit_learn(rng):
    labels, points = clusters(rng)
    position, divergence, perplexity = by_us(points)
    start = PCA(2).fit_transform(points)
    plain = TSNE(2, perplexity=10.0, init=(1e-4 * start / start[:, 0].std()).astype(np.float32), random_state=0)
    with threadpool_limits(1):
        plain.fit(points)
    assert perplexity == 10
    assert divergence == pytest.approx(plain.kl_divergence_, rel=0.02)
    assert trustworthiness(points, position) == pytest.approx(trustworthiness(points, plain.embedding_), abs=0.01)
    assert near(position, labels=labels, neighbors=5).accuracy == 1


def test_embedded__is_the_same_each_time_and_on_any_thread(rng):
    from concurrent.futures import ThreadPoolExecutor

    _, points = clusters(rng)
    expected = by_us(points)
    with ThreadPoolExecutor(3) as pool:
        for position, divergence, _ in pool.map(by_us, [points] * 3):
            np.testing.assert_array_equal(position, expected[0])
            assert divergence == expected[1]


@pytest.mark.parametrize("count, perplexity", [(3, np.nan), (4, 1.0), (12, 11 / 3)])
def test_embedded__of_few_samples_the_perplexity_is_lowered(rng, count, perplexity):
    position, divergence, lowered = by_us(rng.standard_normal((count, 5)))
    np.testing.assert_equal(lowered, perplexity)
    assert np.isfinite(position).all() == (count > 3) == np.isfinite(divergence)


def test_embedded__leaves_out_what_is_not_known_and_starts_missing_components_from_the_seed(rng):
    points = rng.standard_normal((20, 1))
    scores = np.column_stack([points - points.mean(), np.full(20, np.nan)])
    whole = np.insert(scores, 5, np.nan, axis=0)
    position = by_us(points, scores=whole)[0]
    assert np.isnan(position[5]).all() and np.isfinite(np.delete(position, 5, axis=0)).all()
    assert position[0, 1] != 0
    assert not np.array_equal(by_us(points, scores=whole, seed=1)[0], position, equal_nan=True)


def test_embedded__points_that_lie_on_each_other_are_no_trouble(rng):
    points = np.repeat(rng.standard_normal((4, 3)), 10, axis=0)
    assert np.isfinite(by_us(points)[0]).all()
    assert np.isnan(by_us(np.ones((40, 3)), scores=np.zeros((40, 2)))[0]).all()


def test_aligned__components_keep_their_sign(rng):
    first = rng.standard_normal((9, 2))
    first[4] = [5.0, -6.0]
    blank = np.full((9, 2), np.nan)
    actual = aligned([first, -first, blank, first * [1, -1]])
    for own in (actual[0], actual[1], actual[3]):
        np.testing.assert_array_equal(own, first * [1, -1])
    assert np.isnan(actual[2]).all()


def test_turned__is_nearest_to_the_step_before_and_leaves_distances(rng):
    first = rng.standard_normal((9, 2))
    angle = np.array([[0.6, -0.8], [0.8, 0.6]])
    second = first @ angle @ np.diag([1, -1])
    second[3] = np.nan
    actual = turned([first, second])
    np.testing.assert_array_equal(actual[0], first)
    kept = np.arange(9) != 3
    np.testing.assert_allclose(actual[1][kept], first[kept], atol=1e-12)
    assert np.isnan(actual[1][3]).all()
