import pytest

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.running.options import RunOptions
from trajlab.running.several import CHEAP, lazy_results
from trajlab.stages import stage_names


@pytest.fixture
def store(example, tmp_path):
    weights = trajlab.from_arrays({name: array.values for name, array in example.weights.items()})
    return trajlab.pack(weights, tmp_path / "run.zarr")


def test_lazy_results__of_what_the_run_can_serve(store):
    results, skipped = lazy_results(CHEAP, RunOptions(store))
    assert list(results) == ["alerts", "change_points", "drift", "distribution"]
    assert skipped == "1 of 5 stages is left out: gradient_statistics (there are no gradients)"
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
