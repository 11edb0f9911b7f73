import dask.array
import pytest

import trajlab
from trajlab.errors import BadSetting, DamagedData, MissingData, OutputExists
from trajlab.running.options import RunOptions
from trajlab.running.several import CHEAP, lazy_results, write_results
from trajlab.stages import stage_names


@pytest.fixture
def store(example, tmp_path):
    weights = trajlab.from_arrays({name: array.values for name, array in example.weights.items()})
    return trajlab.pack(weights, tmp_path / "run.zarr")


def test_lazy_results__of_what_the_run_can_serve(store):
    results, skipped = lazy_results(CHEAP, RunOptions(store))
    assert list(results) == ["alerts", "change_points", "drift", "distribution"]
    assert skipped == (
        "2 of 6 stages are left out: learning_curves (there are no metrics); gradient_statistics (there are no "
        "gradients)"
    )
    assert set(CHEAP) <= set(stage_names())


def test_lazy_results__of_nothing_is_an_error(store):
    with pytest.raises(MissingData, match="gradient"):
        lazy_results(["gradient_statistics"], RunOptions(store))
    with pytest.raises(MissingData, match="gradient"):
        lazy_results(["drift", "gradient_statistics"], RunOptions(store), required=True)


def test_lazy_results__take_settings_from_a_file(store, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("stages:\n  change_points: {window: 30}\n")
    results, _ = lazy_results(["change_points"], RunOptions(store), params=params)
    assert results["change_points"].attrs["window"] == 30
    params.write_text("change_points: {window: 3}\n")
    with pytest.raises(BadSetting, match="window=3"):
        lazy_results(["change_points"], RunOptions(store), params=params)


def damaged(result):
    """Return a result that fails when it is computed."""

    def fail(values):
        raise DamagedData("cannot read w: the file is gone; restore it")

    broken = dask.array.from_array(result["total_norm"].values, chunks=-1).map_blocks(fail, dtype=float)
    return result.assign(total_norm=("step", broken))


def test_write_results__one_that_fails_keeps_no_other_from_being_written(store, tmp_path):
    results, _ = lazy_results(["drift", "distribution"], RunOptions(store))
    stores = {tmp_path / f"{name}.zarr": result for name, result in results.items()}
    stores[tmp_path / "drift.zarr"] = damaged(results["drift"])
    with pytest.raises(DamagedData, match="gone"):
        write_results(stores, required=True)
    assert not any(path.exists() for path in stores)
    words = write_results(stores, required=False)
    assert words == "1 of 2 stages is left out: drift (the file is gone)"
    assert (tmp_path / "distribution.zarr").exists() and not (tmp_path / "drift.zarr").exists()
    with pytest.raises(OutputExists):
        write_results(stores, required=False)
    with pytest.raises(DamagedData, match="gone"):
        write_results({tmp_path / "drift.zarr": stores[tmp_path / "drift.zarr"]}, required=False)
