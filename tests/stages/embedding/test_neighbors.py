import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from threadpoolctl import threadpool_limits

from trajlab.stages.embedding import neighbors as nearest
from trajlab.stages.embedding.neighbors import chance, near


@pytest.fixture(params=[512, 7], ids=["whole", "blocks"])
def rows(request, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.NEIGHBOR_SAMPLES", request.param)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("neighbors", [1, 4])
def test_near__agrees_with_scikit_learn(rng, rows, metric, neighbors):
    labels = rng.integers(4, size=30)
    points = rng.standard_normal((30, 6)) + 1.5 * np.eye(6)[labels]
    actual = near(points, metric=metric, most=9, labels=labels, neighbors=neighbors)
    with threadpool_limits(1):
        classifier = KNeighborsClassifier(neighbors, metric=metric, algorithm="brute")
        said = cross_val_predict(classifier, points, labels, cv=LeaveOneOut())
        distances, position = NearestNeighbors(n_neighbors=9, metric=metric, algorithm="brute").fit(points).kneighbors()
    assert actual.accuracy == pytest.approx((said == labels).mean())
    assert 0.3 < actual.accuracy < 1
    np.testing.assert_array_equal(actual.indices, np.column_stack([np.arange(30), position]))
    np.testing.assert_allclose(actual.distances[:, 1:], distances, atol=1e-7)
    assert (actual.distances[:, 0] == 0).all()


def test_near__of_clusters_apart_neighbors_tell_all(rng):
    labels = np.repeat(np.arange(3), 10)
    points = 100.0 * np.eye(3)[labels] + rng.standard_normal((30, 3))
    assert near(points, labels=labels, neighbors=5).accuracy == 1
    assert near(points, labels=np.tile(np.arange(3), 10), neighbors=5).accuracy < 0.7


def test_near__of_identical_points_all_others_vote_whatever_their_order(rng, rows):
    labels = np.array([0] * 7 + [1] * 4 + [2] * 2)
    for _ in range(3):
        labels = rng.permutation(labels)
        assert near(np.zeros((13, 2)), labels=labels, neighbors=3).accuracy == pytest.approx(7 / 13)


def test_near__those_at_the_distance_of_the_last_neighbor_share_its_vote():
    """Of two neighbors of the point at 0 one is at 1, with label 0, and four share the other's vote at 2."""
    points = np.array([[0.0], [1.0], [2.0], [2.0], [-2.0], [-2.0]])
    block = abs(points.T - points[:1])
    block[0, 0] = np.inf
    is_class = np.eye(2)[[0, 0, 1, 1, 1, 0]]
    np.testing.assert_array_equal(nearest._votes(block, is_class, 2), [[4 * 1 + 1 * 1, 3]])


def test_near__what_has_no_label_neither_votes_nor_counts(rng):
    points, labels = rng.standard_normal((40, 3)), rng.integers(2, size=40)
    known = rng.random(40) < 0.6
    actual = near(points, labels=np.where(known, labels, -100), neighbors=3, most=4)
    assert actual.accuracy == near(points[known], labels=labels[known], neighbors=3).accuracy
    np.testing.assert_array_equal(actual.indices, near(points, most=4).indices)


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_near__of_few_samples_takes_all_others(count):
    actual = near(np.arange(count, dtype=float)[:, None], labels=np.zeros(count, int), neighbors=9, most=9)
    assert actual.indices.shape == (count, max(count, 1))
    np.testing.assert_equal(actual.accuracy, 1.0 if count > 1 else np.nan)


def test_near__a_sample_of_zeros_has_no_direction(rng):
    points = rng.standard_normal((8, 3))
    points[2] = points[5] = 0
    actual = near(points, metric="cosine", most=7)
    expected = pairwise_distances(points, metric="cosine")
    expected[np.diag_indices(8)] = -1
    np.testing.assert_allclose(actual.distances[:, 1:], np.sort(expected, axis=1)[:, 1:], atol=1e-12)


def test_chance__counts_labels_only():
    assert chance(np.array([3, 3, 1, -1, -1, -1])) == pytest.approx(2 / 3)
    assert np.isnan(chance(np.array([-1])))
