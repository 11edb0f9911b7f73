import numpy as np
import pytest
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.scan.kernels.causes import CAUSES
from trajlab.scan.scan import scan
from trajlab.statistics.standard_errors import scan_errors
from trajlab.statistics.zero_transitions import by_cause, by_threshold, errors_of, kernel_of

ROWS = np.array([[0.0, 0.1, 2.0, -3.0], [0.0, 1.0, 0.1, 3.0], [0.0, 1.0, -0.1, 3.0]])


def gradient(values=ROWS, **attrs):
    return xr.DataArray(values, {"step": [0, 5, 7]}, ("step", "entry"), "g", attrs)


@pytest.mark.parametrize(
    ("tau", "relative"), [((), ()), ((0.1, 0.1), ()), ((0.1,), (0.1,)), ((-1.0,), ()), ((), (np.nan,))]
)
def test_kernel_of__thresholds_are_different_and_not_negative(tau, relative):
    with pytest.raises(BadSetting, match="tau=.*relative=.*0 or above"):
        kernel_of(tau, relative)


def test_by_threshold__counts_by_hand():
    """With τ = 0.5: at step 5 entries 0 and 1 were near, 0 and 2 are; entry 3 flips. With 1 RMS all but 3 are near."""
    kernel = kernel_of([0.5], [1])
    table, summary = scan(kernel, {"g": gradient()})
    counts = by_threshold(table, [0.5], [1.0]).sel(parameter="g")
    assert counts.step.values.tolist() == [5, 7] and counts.stride.values.tolist() == [5, 2]
    assert counts.valid.values.tolist() == [4, 4] and counts.flips.values.tolist() == [1, 1]
    absolute = counts.isel(tau=0)
    assert (absolute.near_prev[0], absolute.near_next[0], absolute.near_near[0]) == (2, 2, 1)
    assert counts.isel(tau=1).near_next.values.tolist() == [3, 3]
    assert counts.tau.values.tolist() == [0.5, 1] and counts.tau_kind.values.tolist() == ["absolute", "relative"]
    assert float(counts.flip_rate_part_part.sum()) == 0  # all entries were recorded
    causes = by_cause(summary.sel(parameter="g"))
    assert causes.cause.values.tolist() == list(CAUSES) and float(causes.sum()) == 1  # entry 0 is always 0


def test_by_threshold__errors_of_a_sample_join_the_counts():
    sampled = gradient(shape=(40,)).rename(entry="sample").assign_coords(index=("sample", [3, 10, 20, 30]))
    kernel = kernel_of([0.5], [])
    errors = scan_errors(errors_of(kernel), sampled)
    counts = by_threshold(scan(kernel, sampled)[0], [0.5], [], errors)
    assert counts.flips.values.tolist() == [1, 1] and counts.signed.values.tolist() == [3, 3]
    assert (counts.flip_rate_part_part > 0).all()
    assert counts.fraction_near_zero_part_part.sizes == {"step": 2, "tau": 1}
