import numpy as np
import xarray as xr

import trajlab.explorer.arrays as module
from trajlab.explorer.arrays import Arrays


class Counting(xr.DataArray):
    """An array that counts how often it is loaded."""

    __slots__ = ("loads",)

    def compute(self):
        self.loads.append(1)
        return super().compute()


def counting(size):
    array = Counting(np.zeros(size))
    array.loads = []
    return array


def test_an_array_is_loaded_once_and_the_least_recently_used_is_dropped(monkeypatch):
    monkeypatch.setattr(module, "CACHE_BYTES", 1000)
    arrays, parts = Arrays(), [counting(50) for _ in range(3)]
    for key in (0, 1, 0, 2, 0, 1):
        assert arrays.load(key, parts[key]).size == 50
    assert [len(part.loads) for part in parts] == [1, 2, 1]
    large = counting(1000)
    arrays.load("large", large)
    arrays.load("large", large)
    assert len(large.loads) == 1 and arrays.peek(0) is None


def test_what_was_wanted_last_is_fetched_once_and_nothing_that_is_large(monkeypatch):
    monkeypatch.setattr(module, "CACHE_BYTES", 1000)
    arrays, part, before = Arrays(), counting(50), counting(50)
    arrays.want("before", before)
    arrays.want("part", part)
    arrays.want("large", counting(100))
    assert not part.loads, "the click is not answered yet"
    arrays.fetch()
    arrays.want("part", part)
    arrays.fetch()
    arrays.wait()
    assert not before.loads
    assert len(part.loads) == 1 and arrays.peek("part").size == 50 and arrays.peek("large") is None


def test_nothing_is_loaded_after_the_stop():
    arrays = Arrays()
    arrays.stop()
    assert arrays.load("part", counting(5)).size == 5, "a view that is drawn still gets its numbers"
