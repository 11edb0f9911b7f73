import dask.array as da
import numpy as np
import pytest
import xarray as xr

from trajlab.errors import MissingData
from trajlab.statistics.scores import along, score_table, task_of
from trajlab.statistics.tasks import BINARY, CROSS_ENTROPY, MSE, VALUES


def outputs(values, *dims):
    values = np.asarray(values, float)
    return xr.DataArray(values, {"step": np.arange(len(values))}, ("step", "sample", *dims, "unit"))


def probe(targets):
    targets = targets if isinstance(targets, da.Array) else np.asarray(targets)
    return xr.Dataset({"targets": (("sample", "y", "x")[: targets.ndim], targets)})


def columns(table, step=0):
    return dict(zip(table.column.values.tolist(), table.isel(step=step).values.tolist(), strict=True))


def test_score_table__of_classes_by_hand():
    """Logits (0, ln 3): 3/4 for class 1; a label that is no class and an infinite output are left out."""
    ln3 = np.log(3)
    table = score_table(outputs([[[0, ln3], [ln3, 0], [0, ln3], [np.inf, 0], [0, 0]]]), probe([1, 1, 0, 0, -1]))
    actual = columns(table.compute())
    assert {name: actual[name] for name in ("nonfinite", "scored", "left_out", "right")} == {
        "nonfinite": 1, "scored": 3, "left_out": 2, "right": 1,
    }  # fmt: skip
    assert actual["loss"] == pytest.approx(np.log(4 / 3) + 2 * np.log(4))
    assert [actual[f"support_{i}"] for i in (0, 1)] == [1, 2]
    assert [actual[f"said_{i}"] for i in (0, 1)] == [1, 2] and [actual[f"hits_{i}"] for i in (0, 1)] == [0, 1]


def test_score_table__of_a_single_logit_counts_both_classes():
    actual = columns(score_table(outputs([[[2.0], [-2.0], [0.0]]]), probe([1, 1, 0])).compute())
    assert actual["loss"] == pytest.approx(np.logaddexp(0, -2) + np.logaddexp(0, 2) + np.log(2))
    assert [actual[f"{name}_{i}"] for name in ("support", "said", "hits") for i in (0, 1)] == [1, 2, 2, 1, 1, 1]


def test_score_table__of_values_has_no_predictions():
    table = score_table(outputs([[[1.0], [3.0], [np.nan]]]), probe([0.5, 5.0, 1.0])).compute()
    actual = columns(table)
    assert actual["loss"] == 0.25 + 4 and (actual["scored"], actual["left_out"], actual["nonfinite"]) == (2, 1, 1)
    assert np.isnan(actual.get("right", np.nan)) and not any(name.startswith("support") for name in actual)


def test_score_table__is_lazy_and_the_same_in_any_chunks(rng, no_compute):
    values, targets = rng.standard_normal((3, 4, 2, 5)), rng.integers(5, size=(4, 2))
    whole = xr.DataArray(values, {"step": [0, 1, 2]}, ("step", "sample", "y", "unit"))
    expected = score_table(whole, probe(targets)).compute()
    lazy = whole.copy(data=da.from_array(values, chunks=(2, 1, 1, 2)))
    with no_compute():
        table = score_table(lazy, probe(da.from_array(targets, chunks=1)))
    xr.testing.assert_identical(table.compute(), expected)
    assert expected.sel(column="scored").values.tolist() == [8, 8, 8]


@pytest.mark.parametrize(
    ("units", "targets", "objective", "kind"),
    [
        (3, np.array([0, 2]), "", CROSS_ENTROPY),
        (1, np.array([0, 1]), "", BINARY),
        (1, np.array([0.0, 1.0]), "", BINARY),
        (1, np.array([0.0, 0.3]), "", MSE),
        (1, da.from_array(np.array([0.0, 1.0])), "", VALUES),
        (1, np.array([0.0, 1.0]), "mse", MSE),
    ],
)
def test_task_of__decides_on_targets_in_memory_only(units, targets, objective, kind):
    held = xr.Dataset({"targets": ("sample", targets)})
    assert task_of(outputs(np.zeros((1, 2, units))), held, objective).kind == kind


def test_task_of__without_targets_says_how_to_record_them():
    with pytest.raises(MissingData, match=r"no targets.*probe=\(inputs, targets\)"):
        task_of(outputs(np.zeros((1, 2, 3))), xr.Dataset())


def test_along__the_barrier_is_the_rise_above_the_line_between_the_ends():
    sums = xr.DataArray([[8.0, 4], [20.0, 4], [4.0, 4]], {"column": ["loss", "scored"]}, ("point", "column"))
    loss, barrier = along(sums)
    assert loss.alpha.values.tolist() == [0, 0.5, 1] and loss.values.tolist() == [2, 5, 1]
    assert barrier == pytest.approx(3.5)
    falling, none = along(sums.isel(point=[0, 2]))
    assert falling.values.tolist() == [2, 1] and none == 0


@pytest.mark.parametrize("dims", [(), ("y",)])
@pytest.mark.parametrize("wrap", [np.asarray, lambda targets: da.from_array(targets, chunks=1)])
def test_score_table__of_probabilities_of_classes_is_their_cross_entropy(rng, dims, wrap):
    values = rng.standard_normal((2, 6, *[4 for _ in dims], 3))
    shares = rng.dirichlet(np.ones(3), values.shape[1:-1])
    values[1, 0, ..., 0] = np.nan
    whole = xr.DataArray(values, {"step": [0, 1]}, ("step", "sample", *dims, "unit"))
    targets = xr.Dataset({"targets": (("sample", *dims, "class"), wrap(shares))})
    first, second = (columns(score_table(whole, targets).compute(), step) for step in (0, 1))
    logp = values - np.log(np.exp(values).sum(-1, keepdims=True))
    assert first["loss"] == pytest.approx(-(shares * logp[0]).sum())
    assert first["right"] == (values[0].argmax(-1) == shares.argmax(-1)).sum()
    assert second["loss"] == pytest.approx(-(shares[1:] * logp[1, 1:]).sum())
    assert (
        second["left_out"] == np.prod(shares.shape[1:-1])
        and second["scored"] == np.prod(shares.shape[:-1]) - second["left_out"]
    )
    as_values = columns(score_table(whole, targets, "mse").compute())
    assert as_values["loss"] == pytest.approx(((values[0] - shares) ** 2).sum())
