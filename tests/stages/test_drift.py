import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import trajlab
from trajlab.errors import MissingData
from trajlab.stages.drift import drift


def test_drift__hand_made_walk():
    """Out along one axis, then along the other: a triangle with sides 3, 4 and 5."""
    run = trajlab.from_arrays({"w": np.array([[1, 0], [4, 0], [4, 4]], np.float32)}, steps=[0, 10, 30])
    result = drift(run.weights["w"]).compute()
    assert result.distance_l2.values.tolist() == [0, 3, 5]
    assert result.distance_l1.values.tolist() == [0, 3, 7]
    assert result.distance_linf.values.tolist() == [0, 3, 4]
    assert result.relative.values.tolist() == [0, 3, 5]
    assert result.path_length.values.tolist() == [0, 3, 7]
    assert result.straightness.values[1:].tolist() == [1, 5 / 7]
    assert result.update_l2.values[1:].tolist() == [3, 4]
    assert np.isnan(result.update_l2.values[0])
    assert result.update_ratio.values[1:].tolist() == [3, 1]
    assert result.changed.values.tolist() == [0, 0.5, 1]
    assert result.sign_changed.values.tolist() == [0, 0, 0.5]
    np.testing.assert_allclose(result.cosine, [1, 1, 1 / np.sqrt(2)])
    assert result.stride.values.tolist() == [0, 10, 20]


def test_drift__agrees_with_numpy(example):
    result = trajlab.run("drift", example, rtol=0.1, atol=0.01).compute()
    flat = {name: w.values.reshape(21, -1).astype(np.float64) for name, w in example.weights.items()}
    flat["total"] = np.hstack(list(flat.values()))
    for name, w in flat.items():
        found = result.sel(parameter=name) if name in example.weights else result
        prefix = "" if name in example.weights else "total_"
        d, u = w - w[0], np.diff(w, axis=0)
        expected = {
            "norm": np.linalg.norm(w, axis=1),
            "distance_l1": abs(d).sum(1),
            "distance_linf": abs(d).max(1),
            "relative": np.linalg.norm(d, axis=1) / np.linalg.norm(w[0]),
            "cosine": w @ w[0] / np.linalg.norm(w, axis=1) / np.linalg.norm(w[0]),
            "changed": (d != 0).mean(1),
            "changed_tol": (abs(d) > 0.01 + 0.1 * abs(w[0])).mean(1),
            "sign_changed": (np.sign(w) != np.sign(w[0])).mean(1),
            "path_length": np.append(0, np.cumsum(np.linalg.norm(u, axis=1))),
            "update_ratio": np.append(np.nan, np.linalg.norm(u, axis=1) / np.linalg.norm(w[:-1], axis=1)),
        }
        for variable, values in expected.items():
            np.testing.assert_allclose(found[prefix + variable], values, rtol=1e-11, atol=1e-12, err_msg=variable)


def test_drift__knows_why_entries_never_changed(example):
    result = trajlab.run("drift", example).compute()
    cause = result.unchanged_cause.sel(parameter=["conv.weight", "fc.weight", "fc.bias", "frozen.weight"])
    assert cause.sel(cause="structural").values.tolist() == [16, 0, 0, 0]
    assert cause.sel(cause="dead_unit").values.tolist() == [0, 16, 1, 0]
    assert cause.sel(cause="frozen").values.tolist() == [0, 0, 0, 6]
    assert result.total_unchanged_cause.sum() == 16 + 16 + 1 + 6


def test_drift__any_step_can_be_the_reference(example):
    w = example.weights["fc.weight"]
    result = drift(w, reference=7).compute()
    assert result.distance_l2.sel(step=7) == 0
    np.testing.assert_allclose(result.distance_l2[0], np.linalg.norm(w.values[0].astype(float) - w.values[7]))
    with pytest.raises(MissingData, match="step 70 of fc.weight"):
        drift(w, reference=70)


def test_drift__from_zero_the_relative_distance_is_infinite():
    result = drift(trajlab.from_arrays({"b": np.array([[0, 0], [1, 0]], np.float32)}).weights["b"]).compute()
    assert np.isnan(result.relative[0]) and np.isinf(result.relative[1])
    assert np.isnan(result.cosine[1])


def test_drift__nan_and_inf_are_counted_and_left_out():
    w = np.array([[1, 2, 2], [1, np.nan, 5], [np.nan] * 3, [1, np.inf, 2]], np.float32)
    result = drift(trajlab.from_arrays({"w": w}).weights["w"]).compute()
    assert result.nonfinite.values.tolist() == [0, 1, 3, 1]
    assert result.distance_l2.values[[0, 1, 3]].tolist() == [0, 3, 0]
    assert np.isnan(result.distance_l2[2]) and np.isnan(result.changed[2]) and np.isnan(result.norm[2])
    assert result.changed.values[1] == 0.5
    assert np.isnan(result.path_length[3])


def test_drift__constant_inputs_give_zero_drift():
    result = drift(trajlab.from_arrays({"w": np.ones((4, 10))}).weights["w"]).compute()
    assert (result.distance_l2 == 0).all() and (result.path_length == 0).all()
    assert np.isnan(result.straightness).all()
    assert result.unchanged_cause.sel(cause="frozen") == 10


def test_drift__of_half_precision_snapshots_from_a_parent_in_single_precision(tmp_path, rng):
    values = {}
    for name, dtype in (("child", torch.bfloat16), ("parent", torch.float32)):
        for step in range(2):
            weight = torch.from_numpy(rng.standard_normal((130, 256)).astype(np.float32)).to(dtype)
            values[name, step] = weight.double().numpy()
            folder = tmp_path / name / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            save_file({"w": weight}, folder / "model.safetensors")
    child, parent = (trajlab.open(tmp_path / name) for name in ("child", "parent"))
    found = trajlab.run("drift", child, parent=parent, reference=-1).compute()
    expected = [np.linalg.norm(values["child", step] - values["parent", 1]) for step in range(2)]
    np.testing.assert_allclose(found.distance_l2[:, 0], expected, rtol=1e-12)


def test_drift__cosine_with_a_tiny_reference_keeps_its_digits():
    run = trajlab.from_arrays({"w": np.array([[1e-12, 0.0], [3.0, 4.0]])})
    assert trajlab.run("drift", run).cosine.values[1, 0] == pytest.approx(0.6, rel=1e-12)


def test_drift__finite_entries_that_are_all_zero_have_a_norm():
    rows = np.array([[0, 0, np.nan], [np.nan] * 3], np.float32)
    result = trajlab.run("drift", trajlab.from_arrays({"w": rows, "empty": np.zeros((2, 0), np.float32)})).compute()
    np.testing.assert_array_equal(result.norm.sel(parameter="w"), [0, np.nan])
    np.testing.assert_array_equal(result.norm.sel(parameter="empty"), [0, 0])
    np.testing.assert_array_equal(result.total_norm, [0, np.nan])
