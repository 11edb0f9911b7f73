import numpy as np
import pytest
from sklearn.decomposition import PCA

from trajlab.stages.embedding.reduce import Plan, reduced

PLAN = Plan(components=2, neighbors=3, metric="euclidean", tsne=False, perplexity=5.0, seed=0)


def variables(values, labels=None, plan=PLAN):
    return reduced(np.asarray(values)[None], labels, plan).variables


@pytest.mark.parametrize("shape", [(12, 4), (6, 30), (8, 2, 3)])
def test_reduced__principal_components_are_those_of_scikit_learn(rng, shape):
    values = rng.standard_normal(shape)
    flat = values.reshape(len(values), -1)
    fitted = PCA(2).fit(flat)
    actual = variables(values)
    np.testing.assert_allclose(abs(actual["pca"]), abs(fitted.transform(flat)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(actual["explained_variance_ratio"], fitted.explained_variance_ratio_)
    np.testing.assert_allclose(actual["singular_values"][:2], fitted.singular_values_)
    shares = actual["singular_values"] ** 2 / (actual["singular_values"] ** 2).sum()
    assert actual["participation_ratio"] == pytest.approx(1 / (shares**2).sum())


@pytest.mark.parametrize("scale", [2.0**-600, 1.0, 2.0**500])
def test_reduced__features_of_any_size_scale_exactly(rng, scale):
    values = rng.standard_normal((7, 3))
    base, scaled = variables(values), variables(scale * values)
    np.testing.assert_array_equal(scaled["pca"], scale * base["pca"])
    assert scaled["effective_rank"] == base["effective_rank"]


def test_reduced__broken_samples_are_left_out_and_counted(rng):
    values = rng.standard_normal((9, 3))
    values[2, 1], values[:, 2] = np.nan, 7
    labels = np.arange(9) % 2
    actual = variables(values, labels)
    assert actual["nonfinite"] == 1 and actual["constant"] == 1 and np.isnan(actual["pca"][2]).all()
    np.testing.assert_allclose(actual["singular_values"], variables(np.delete(values, 2, 0))["singular_values"])


def test_reduced__of_equal_samples_and_of_none():
    same = variables(np.ones((4, 3)))
    assert (same["pca"] == 0).all() and np.isnan(same["participation_ratio"]) and same["constant"] == 3
    nothing = variables(np.full((4, 3), np.nan))
    assert np.isnan(nothing["pca"]).all() and nothing["nonfinite"] == 4 and np.isnan(nothing["constant"])


def test_reduced__classes_apart_are_told_by_their_neighbors(rng):
    values = np.repeat([[0.0, 0], [100, 100]], 6, axis=0) + rng.standard_normal((12, 2))
    actual = variables(values, np.repeat([0, 1], 6))
    assert actual["knn_accuracy"] == actual["knn_accuracy_pca"] == 1
