import numpy as np
import pytest
import xarray as xr

from trajlab.errors import MissingData
from trajlab.reports.export.event_series import write_events
from trajlab.runs.disk.event_files import scalars_in


def scalars(folder):
    (file,) = folder.iterdir()
    return list(scalars_in(file.read_bytes()))


def test_write_events__a_scalar_for_each_known_value_by_step_and_tag(tmp_path):
    values = [[[1.0, np.nan], [2.0, 3.0]], [[4.0, 5.0], [np.nan, np.nan]]]
    coords = {"run": ["a", "../b"], "layer": ["x/1", "y"], "step": [0, 10]}
    result = xr.Dataset({"v": (("run", "layer", "step"), values), "w": ("step", [6.0, 7.0])}, coords)
    assert write_events({"s": result}, tmp_path / "events") == {}
    assert scalars(tmp_path / "events" / "s" / "a") == [
        (0, "v/x%2F1", 1.0), (0, "v/y", 2.0), (0, "w", 6.0), (10, "v/y", 3.0), (10, "w", 7.0)
    ]  # fmt: skip
    assert scalars(tmp_path / "events" / "s" / "..%2Fb") == [
        (0, "v/x%2F1", 4.0), (0, "w", 6.0), (10, "v/x%2F1", 5.0), (10, "w", 7.0)
    ]  # fmt: skip


def test_write_events__names_what_tensorboard_cannot_hold(tmp_path):
    wide = xr.Dataset(
        {"v": (("step", "unit"), np.zeros((2, 1001))), "w": ("step", [1.0, 2.0]), "x": ("unit", np.ones(1001))}
    )
    left_out = write_events({"s": wide.assign_coords(step=[0, 1])}, tmp_path / "events")
    assert left_out == {"s.v": "1,001 series are more than 1,000", "s.x": "it is not over steps"}
    assert scalars(tmp_path / "events" / "s") == [(0, "w", 1.0), (1, "w", 2.0)]


def test_write_events__nothing_over_steps_is_no_folder(tmp_path):
    with pytest.raises(MissingData, match="no variable has values over steps; write a .csv"):
        write_events({"s": xr.Dataset({"x": ("unit", np.ones(3))})}, tmp_path / "events")
    assert not list(tmp_path.iterdir())
