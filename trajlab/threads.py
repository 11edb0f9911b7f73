"""Linear algebra on one thread: tasks share the cores, and a second set of threads would fight them for these."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

import numpy as np  # noqa: F401  loads the library whose threads are limited
from threadpoolctl import OpenBLASController, ThreadpoolController

_LOCK = Lock()
_within: list = []


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread while any task is within, so that results do not depend on how many there are.

    The limit holds for the whole process: the first task to enter sets it, and the last to leave lifts it, on
    whatever threads they are.
    """
    with _LOCK:
        if not _within:
            OpenBLASController.clear_controlling_thread(force=True)
            _within.append(_controller().limit(limits=1))
        else:
            _within.append(_within[0])
    try:
        yield
    finally:
        with _LOCK:
            limit = _within.pop()
            if not _within:
                OpenBLASController.clear_controlling_thread(force=True)
                limit.restore_original_limits()
                OpenBLASController.clear_controlling_thread(force=True)
