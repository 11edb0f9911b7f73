import numpy as np
import pytest

import trajlab
from trajlab import sizes
from trajlab.explorer import pair
from trajlab.explorer.pair import changed_rows, compare
from trajlab.runs.disk.lazy import rows_of


@pytest.fixture
def run():
    weights = np.ones((3, 4, 2), np.float32)
    weights[1, 2] = [4, 5]
    weights[2, 2] = -1
    return trajlab.from_arrays({"a": weights, "b": np.ones((3, 2), np.float32)}, steps=[0, 10, 20])


def test_two_steps_of_a_run(run):
    table = compare(run, 10, run, 20).table
    assert list(table.index) == ["a", "b"]
    assert table.loc["a", "relative"] == pytest.approx(np.sqrt(25 + 36) / np.sqrt(6 + 41))
    assert table.loc["a", "sign_changed"] == pytest.approx(2 / 8)
    assert table.loc["b", "relative"] == 0


def test_the_histogram_holds_both(run):
    pair = compare(run, 0, run, 20)
    histogram = pair.distribution["histogram"].sel(parameter="a").transpose("step", "bin").values
    assert histogram.sum(1).tolist() == [8, 8]
    assert sorted(histogram[1][histogram[1] > 0].tolist()) == [2, 6]


def test_two_runs(run):
    other = trajlab.from_arrays({"a": 3 * np.ones((2, 4, 2), np.float32), "c": np.ones((2, 2))}, steps=[0, 5])
    pair = compare(run, 0, other, 5)
    assert pair.table.loc["a", "relative"] == pytest.approx(2)
    assert sorted(text.split(":")[0] for text in pair.skipped) == ["b", "c"]


def test_what_was_not_recorded_or_has_another_shape_is_named(run):
    assert [text.partition(":")[0] for text in compare(run, 0, run, 7).skipped] == ["a", "b"]
    other = trajlab.from_arrays({"a": np.ones((1, 2, 2)), "b": np.ones((1, 2))}, steps=[0])
    pair = compare(run, 0, other, 0)
    assert "shapes differ" in pair.skipped[0] and list(pair.table.index) == ["b"]


def test_rows_that_changed_most(run):
    table = changed_rows(run, 0, run, 10, "a")
    assert table.index[0] == 2 and len(table) == 4
    assert table["change"].tolist() == [5, 0, 0, 0]
    assert table.loc[2, "relative"] == pytest.approx(5 / np.sqrt(2))
    assert changed_rows(run, 0, run, 11, "a").empty


def test_rows_of_zeros_have_no_relative_change():
    run = trajlab.from_arrays({"e": np.array([[[0.0, 0.0]], [[3.0, 4.0]]])})
    table = changed_rows(run, 0, run, 1, "e")
    assert table["change"].tolist() == [5] and np.isnan(table["relative"]).all()


def test_changed_rows_are_the_same_a_few_rows_at_a_time(run, monkeypatch, tmp_path):
    whole = changed_rows(run, 10, run, 20, "a")
    monkeypatch.setattr(sizes, "MATRIX_PART_BYTES", 50)
    on_disk = trajlab.open(trajlab.pack(run, tmp_path / "run.zarr"))
    assert changed_rows(on_disk, 10, on_disk, 20, "a").equals(whole)
    assert changed_rows(run, 10, run, 20, "a").equals(whole) and whole["change"].iloc[0] == pytest.approx(61**0.5)


def test_two_steps_of_one_run_on_disk_are_read_as_rows_and_compared_as_those_of_two_runs(run, tmp_path):
    packed = trajlab.pack(run, tmp_path / "run.zarr")
    one, other = trajlab.open(packed), trajlab.open(packed)
    assert rows_of(pair._stacked(one, 0, one, 10, "a").data) is not None
    for a, b in ((0, 10), (10, 0)):
        same, two = compare(one, a, one, b), compare(one, a, other, b)
        assert same.table.equals(two.table) and same.distribution.equals(two.distribution)
    assert same.table.loc["a", "relative"] == pytest.approx(5 / 47**0.5)
