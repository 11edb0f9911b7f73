import dask
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

import trajlab
from tests.stages.samples_of_entries import coverage, sample
from trajlab.errors import BadSetting, MissingData
from trajlab.stages.projection import projection


def walk(rng, steps, *shape):
    return np.cumsum(rng.standard_normal((steps, *shape)), axis=0).astype(np.float32)


def test_projection__agrees_with_scikit_learn(example):
    result = trajlab.run("projection", example).compute()
    flat = {name: w.values.reshape(21, -1).astype(np.float64) for name, w in example.weights.items()}
    flat["total"] = np.hstack(list(flat.values()))
    for name in ("conv.weight", "fc.weight", "total"):
        actual = result.sel(parameter=name) if name in result.parameter else result
        prefix = "total_" if name == "total" else ""
        pca = PCA(10).fit(flat[name])
        scores = pca.transform(flat[name])
        scores *= -np.sign(scores[0])
        ratio, position = actual[prefix + "explained_variance_ratio"], actual[prefix + "scores"]
        np.testing.assert_allclose(ratio, pca.explained_variance_ratio_, rtol=1e-9)
        np.testing.assert_allclose(position, scores, rtol=1e-9, atol=1e-9)
    assert result.explained_variance_ratio.sel(parameter="frozen.weight").isnull().all()
    assert (result.scores.sel(parameter="frozen.weight") == 0).all()


def test_projection__of_a_straight_line_is_the_line(rng):
    line = rng.standard_normal(500) + np.linspace(0, 3, 13)[:, None] * rng.standard_normal(500)
    result = projection(trajlab.from_arrays({"w": line}).weights["w"]).compute()
    np.testing.assert_allclose(result.explained_variance_ratio, [1] + [0] * 9, atol=1e-12)
    length = np.linalg.norm(line - line.mean(axis=0), axis=1)
    np.testing.assert_allclose(abs(result.scores.sel(component=1)), length, rtol=1e-12, atol=1e-12)
    assert (np.diff(result.scores.sel(component=1)) > 0).all()


def test_projection__of_orthogonal_steps_is_the_random_walk():
    """Steps of one length, each along an axis of its own: what a walk in infinitely many dimensions is."""
    run = trajlab.from_arrays({"w": np.tri(40, 60, -1)})
    result = projection(run.weights["w"]).compute()
    np.testing.assert_allclose(result.explained_variance_ratio, result.explained_variance_ratio_walk, rtol=1e-10)


def test_projection__centered_on_the_last_step(rng):
    values = walk(rng, 12, 8, 9).astype(np.float64)
    result = projection(trajlab.from_arrays({"w": values}).weights["w"], components=3, center="last").compute()
    d = (values - values[-1]).reshape(12, -1)
    u, s, _ = np.linalg.svd(d, full_matrices=False)
    np.testing.assert_allclose(result.explained_variance_ratio, (s**2 / (s**2).sum())[:3], rtol=1e-10)
    np.testing.assert_allclose(abs(result.scores), abs(u * s)[:, :3], atol=1e-9)
    assert (result.scores[0] < 0).all() and (abs(result.scores[-1]) < 1e-9).all()


def test_projection__entries_that_are_not_finite_at_a_step_are_left_out_at_all(rng):
    values = walk(rng, 9, 40)
    kept = np.delete(values, [3, 7, 8], axis=1)
    values[2, 3], values[5, 7:9] = np.nan, np.inf
    run = trajlab.from_arrays({"w": values, "all": np.full((9, 2), np.nan), "kept": kept})
    result = trajlab.run("projection", run).compute()
    assert result.left_out.values.tolist() == [3, 2, 0]
    assert result.nonfinite.sel(parameter="w").values.tolist() == [0, 0, 1, 0, 0, 2, 0, 0, 0]
    actual = result.explained_variance_ratio
    np.testing.assert_allclose(actual.sel(parameter="w"), actual.sel(parameter="kept"), rtol=1e-12)
    assert actual.sel(parameter="all").isnull().all()
    assert result.total_explained_variance_ratio.notnull().all()


def test_projection__of_all_is_at_the_steps_that_all_have(rng):
    a, b = walk(rng, 10, 30), walk(rng, 10, 5, 4)
    run = trajlab.from_arrays({"a": a, "b": b})
    weights = {"a": run.weights["a"], "b": run.weights["b"].isel(step=[0, 1, 2, 5, 6, 7, 8])}
    result = projection(weights, components=4).compute()
    some = np.hstack([a[[0, 1, 2, 5, 6, 7, 8]], b[[0, 1, 2, 5, 6, 7, 8]].reshape(7, -1)]).astype(np.float64)
    pca = PCA(4).fit(some)
    np.testing.assert_allclose(result.total_explained_variance_ratio, pca.explained_variance_ratio_, rtol=1e-9)
    assert result.total_scores.isnull().all("component").values.nonzero()[0].tolist() == [3, 4, 9]
    own = PCA(4).fit(a.astype(np.float64)).explained_variance_ratio_
    np.testing.assert_allclose(result.explained_variance_ratio.sel(parameter="a"), own, rtol=1e-9)
    assert result.scores.sel(parameter="b").isnull().all("component").sum() == 3


def test_projection__chunks_files_spans_and_schedulers_give_the_same_numbers(rng, checkpoints, monkeypatch):
    values = walk(rng, 30, 70, 50)
    plain = projection(trajlab.from_arrays({"w": values}).weights).compute()
    mapped = trajlab.open(checkpoints({"w": values})).weights
    with dask.config.set(scheduler="threads", num_workers=4):
        assert projection(mapped).compute().equals(plain)
    chunked = trajlab.from_arrays({"w": dask.array.from_array(values, chunks=(7, 33, 20))}).weights
    assert projection(chunked).compute().equals(plain)
    monkeypatch.setattr("trajlab.sizes.SPAN_PIECE_BYTES", 1)
    assert projection(mapped).compute().equals(plain)
    monkeypatch.setattr("trajlab.sizes.SPAN_BYTES", 30 * 4 * 600)
    for weights in (mapped, chunked):
        actual = projection(weights).compute()
        np.testing.assert_allclose(actual.total_explained_variance_ratio, plain.total_explained_variance_ratio, 1e-12)
        np.testing.assert_allclose(actual.total_scores, plain.total_scores, rtol=1e-9, atol=1e-9)


def test_projection__of_samples_each_counts_for_its_whole_parameter(rng):
    run = trajlab.from_arrays({"a": walk(rng, 8, 100), "b": walk(rng, 8, 10)})
    sampled = run.weights["b"].assign_attrs(shape=(40,))
    result = projection({"a": run.weights["a"], "b": sampled}, components=3).compute()
    whole = np.hstack([run.weights["a"].values, np.tile(run.weights["b"].values, 4)]).astype(np.float64)
    expected = PCA(3).fit(whole).explained_variance_ratio_
    np.testing.assert_allclose(result.total_explained_variance_ratio, expected, rtol=1e-9)


def test_distance__of_a_square_walk_by_hand():
    run = trajlab.from_arrays({"w": [[0, 0], [3, 0], [3, 4], [0, 4]]}, steps=[0, 5, 6, 20])
    result = projection(run.weights["w"], anchors=2).compute()

    assert result.anchor.values.tolist() == [0, 20]
    np.testing.assert_allclose(result.distance.transpose("anchor", "step"), [[0, 3, 5, 4], [4, 5, 3, 0]], atol=1e-12)


def test_distance__agrees_with_scipy_and_with_drift(example):
    result = trajlab.run("projection", example).compute()
    drift = trajlab.run("drift", example).compute()
    flat = {name: w.values.reshape(21, -1).astype(np.float64) for name, w in example.weights.items()}

    assert result.anchor.values.tolist() == result.step.values.tolist()
    actual = result.distance.transpose("parameter", "step", "anchor")
    np.testing.assert_allclose(actual, [cdist(one, one) for one in flat.values()], atol=1e-7)
    whole = np.hstack(list(flat.values()))
    np.testing.assert_allclose(result.total_distance.transpose("step", "anchor"), cdist(whole, whole), atol=1e-7)
    np.testing.assert_allclose(result.total_distance.sel(anchor=0), drift.total_distance_l2, rtol=1e-9)
    few = trajlab.run("projection", example, anchors=3).compute()
    assert few.anchor.values.tolist() == [0, 10, 20]
    assert few.distance.equals(result.distance.sel(anchor=[0, 10, 20]))


def test_distance__of_one_step_of_nothing_and_of_lacking_steps(rng):
    one = trajlab.run("projection", trajlab.from_arrays({"w": [[1.0, 2.0]], "b": np.ones((1, 0))})).compute()
    assert one.total_distance.values.tolist() == [[0.0]] and one.distance.sel(parameter="w").values.tolist() == [[0.0]]
    assert one.distance.sel(parameter="b").isnull().all()
    run = trajlab.from_arrays({"a": walk(rng, 6, 30), "b": walk(rng, 6, 5)})
    weights = {"a": run.weights["a"], "b": run.weights["b"].isel(step=[0, 2, 5])}
    result = projection(weights).compute()
    assert result.anchor.values.tolist() == [0, 2, 5]
    assert result.distance.sel(parameter="b").isnull().all("anchor").values.nonzero()[0].tolist() == [1, 3, 4]
    both = result.distance.sel(step=5, anchor=0)
    assert result.total_distance.sel(step=5, anchor=0) == pytest.approx(float(np.sqrt((both**2).sum())))


@pytest.mark.parametrize("settings", [{"components": 0}, {"center": "median"}, {"anchors": 0}])
def test_projection__settings_without_sense(example, settings):
    with pytest.raises(BadSetting, match="components=.*center=.*anchors="):
        projection(example.weights, **settings)


def test_projection__of_nothing():
    with pytest.raises(MissingData, match="weights"):
        projection({})


def test_distance__of_samples_is_that_of_the_whole_tensor(rng):
    values = rng.standard_normal((3, 1500)).cumsum(0)
    draws = {f"draw {i}": sample(values, 250, rng) for i in range(150)}
    whole = {"b": trajlab.from_arrays({"b": rng.standard_normal((3, 20))}).weights["b"]}
    result = projection(draws | whole, anchors=2, components=1).compute()
    truth = cdist(values, values[[0, 2]])
    for anchor, step in ((0, 1), (0, 2), (2, 0)):
        actual = result.sel(step=step, anchor=anchor, parameter=list(draws))
        column = [0, 2].index(anchor)
        assert 0.88 < coverage(actual.distance.values, actual.distance_se.values, truth[step, column]) < 1
        np.testing.assert_allclose(actual.distance.mean(), truth[step, column], rtol=0.01)
    assert (result.distance_se.sel(parameter="b") == 0).all() and (result.distance_se.sel(step=0, anchor=0) == 0).all()
    squares = (result.distance**2).sum("parameter")
    np.testing.assert_allclose(result.total_distance**2, squares.transpose(*result.total_distance.dims), atol=1e-9)
    combined = np.sqrt(((2 * result.distance * result.distance_se) ** 2).sum("parameter")) / (2 * np.sqrt(squares))
    moved = combined.sel(step=2, anchor=0)
    np.testing.assert_allclose(result.total_distance_se.sel(step=2, anchor=0), moved)
    scaled = np.sqrt(1500 / 250) * abs(result.scores.sel(parameter="draw 0", component=1))
    alone = draws["draw 0"].drop_vars("index").drop_attrs()
    np.testing.assert_allclose(scaled, 6 * abs(projection(alone, components=1).compute().scores.sel(component=1)))
    assert "distance_se" not in projection(whole)


def cosines(values):
    updates = np.diff(values.reshape(len(values), -1).astype(np.float64), axis=0)
    lengths = np.linalg.norm(updates, axis=1)
    return np.r_[np.nan, np.nan, (updates[1:] * updates[:-1]).sum(1) / (lengths[1:] * lengths[:-1])]


def test_projection__direction_consistency_is_the_cosine_of_successive_updates(rng):
    """Of a tensor of many entries, and of one of fewer entries than steps."""
    values = {"w": rng.standard_normal((9, 20, 4)).cumsum(0), "b": rng.standard_normal((9, 5)).cumsum(0)}
    values["w"][4] = values["w"][3]  # a step without an update has no direction
    result = trajlab.run("projection", trajlab.from_arrays(values)).compute()
    for name, of_tensor in values.items():
        with np.errstate(invalid="ignore"):
            expected = cosines(of_tensor)
        np.testing.assert_allclose(result.direction_consistency.sel(parameter=name), expected, rtol=1e-9)
    whole = cosines(np.hstack([of_tensor.reshape(9, -1) for of_tensor in values.values()]))
    np.testing.assert_allclose(result.total_direction_consistency, whole, rtol=1e-9)
    np.testing.assert_allclose(result.direction_consistency_null, [80**-0.5, 5**-0.5])


def test_projection__direction_consistency_null_is_the_spread_of_random_updates(rng):
    """Two tensors that move unequally, so that the whole network has fewer directions than entries."""
    walk = {"w": rng.standard_normal((900, 30)).cumsum(0), "b": 20 * rng.standard_normal((900, 4)).cumsum(0)}
    result = trajlab.run("projection", trajlab.from_arrays(walk), anchors=1).compute()
    for name in walk:
        one = result.sel(parameter=name)
        assert one.direction_consistency.std() == pytest.approx(float(one.direction_consistency_null), rel=0.1)
    null = result.total_direction_consistency_null[2:]
    assert result.total_direction_consistency.std() == pytest.approx(float(np.sqrt((null**2).mean())), rel=0.1)


def test_projection__tensors_of_fewer_entries_than_steps_keep_no_products(rng, monkeypatch):
    values = {name: rng.standard_normal((40, 12)).cumsum(0) for name in "abc"}
    values["a"][7, 3] = np.nan
    run = trajlab.from_arrays(values)
    monkeypatch.setattr("trajlab.scan.step_products.gram", lambda *arguments: pytest.fail("products of all steps"))
    for center in ("mean", "last"):
        result = trajlab.run("projection", run, center=center, components=3, anchors=2).compute()
        for name in ("b", "c"):
            deviations = values[name] - (values[name].mean(0) if center == "mean" else values[name][-1])
            left, s, _ = np.linalg.svd(deviations, full_matrices=False)
            of_tensor = result.sel(parameter=name)
            np.testing.assert_allclose(of_tensor.explained_variance_ratio, (s**2 / (s**2).sum())[:3], rtol=1e-9)
            np.testing.assert_allclose(abs(of_tensor.scores), abs(left * s)[:, :3], rtol=1e-7, atol=1e-9)
            apart = np.linalg.norm(values[name] - values[name][-1], axis=1)
            np.testing.assert_allclose(of_tensor.distance[:, -1], apart, rtol=1e-9, atol=1e-12)
        assert result.left_out.values.tolist() == [1, 0, 0] and result.total_scores.notnull().all()
