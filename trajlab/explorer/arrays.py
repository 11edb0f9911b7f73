"""Parts of variables in memory, which all pages of a server share."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor

import xarray as xr

CACHE_BYTES = 512 * 2**20
"""Size of all parts at most; a larger part is kept alone."""


class Arrays:
    """Parts of variables, loaded once each; the least recently used are dropped beyond `CACHE_BYTES`."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[Hashable, xr.DataArray] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "trajlab-arrays")
        self._coming: dict[Hashable, Future] = {}
        self._wanted: tuple[Hashable, xr.DataArray] | None = None

    def load(self, key: Hashable, array: xr.DataArray) -> xr.DataArray:
        """Return an array in memory.

        Parameters
        ----------
        key
            What identifies it.
        array
            The array, which may be lazy.
        """
        loaded = self.peek(key)
        if loaded is None:
            loaded = array.compute()
            with self._lock:
                self._loaded[key] = loaded
                while len(self._loaded) > 1 and sum(part.nbytes for part in self._loaded.values()) > CACHE_BYTES:
                    self._loaded.popitem(last=False)
        return loaded

    def peek(self, key: Hashable) -> xr.DataArray | None:
        """Return an array if it is in memory, else None."""
        with self._lock:
            if key in self._loaded:
                self._loaded.move_to_end(key)
            return self._loaded.get(key)

    def want(self, key: Hashable, array: xr.DataArray) -> None:
        """Have an array loaded in the background by the next `fetch`, unless it would fill more than half of the cache.

        Of several arrays it is the last one.
        """
        if array.nbytes <= CACHE_BYTES // 2 and key not in self._coming:
            self._wanted = key, array

    def fetch(self) -> None:
        """Load what is wanted in the background, now that a click is answered and the processor is free."""
        if self._wanted is None:
            return
        key, array = self._wanted
        self._wanted = None
        for other, waiting in list(self._coming.items()):  # nobody waits for what was looked at before
            if waiting.cancel() or waiting.done():
                self._coming.pop(other, None)
        self._coming[key] = self._pool.submit(self.load, key, array)

    def wait(self) -> None:
        """Wait until the background has loaded all arrays."""
        for waiting in list(self._coming.values()):
            if not waiting.cancelled():
                waiting.exception()

    def stop(self) -> None:
        """Load nothing more in the background, and wait for what is being loaded."""
        self._pool.shutdown(cancel_futures=True)
