"""Values that a view computes in the background, such as the comparison of two snapshots."""

import threading
from collections.abc import Callable, Hashable
from typing import Any

KEPT = 8
"""Values that are kept: the last ones."""


class Aside:
    """Values that are computed in threads of their own.

    Parameters
    ----------
    arrived
        Called whenever a value is there.
    """

    def __init__(self, arrived: Callable[[], None]):
        self._arrived = arrived
        self._values: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def value(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return a value; None while it is not there, and the error if it cannot be computed.

        Parameters
        ----------
        key
            What identifies the value.
        compute
            Computes it.
        """
        with self._lock:
            if key in self._values:
                return self._values[key]
            self._values[key] = None
            while len(self._values) > KEPT:
                self._values.pop(next(iter(self._values)))

        def work() -> None:
            try:
                value = compute()
            except Exception as error:  # shown in place of the value
                value = error
            with self._lock:
                self._values[key] = value
            self._arrived()

        threading.Thread(target=work, name="trajlab-aside", daemon=True).start()
        return None
