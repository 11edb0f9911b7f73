import dask.array as da
import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_source__integers_that_float64_rounds_are_named(lazy, kind):
    values = np.array([[2**60, 2**60], [2**60 + 1, 2**60]], kind)
    weights = {"counter": da.from_array(values) if lazy else values, "w": np.ones((2, 3))}
    with pytest.raises(BadSetting, match=r"counter.*1152921504606846976.*2⁵³"):
        trajlab.run("drift", trajlab.from_arrays(weights)).compute()


def test_source__integers_up_to_the_limit_are_exact():
    values = np.array([[2**53, -(2**53), 7], [2**53 - 1, -(2**53), 8]])
    for array in (values, da.from_array(values)):
        result = trajlab.run("drift", trajlab.from_arrays({"w": array})).compute()
        assert result.changed.sel(step=1) == pytest.approx(2 / 3) and result.distance_l1.sel(step=1) == 2
