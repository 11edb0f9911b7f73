"""Limit linear algebra to one thread: dask's tasks already use all cores."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

import numpy as np  # noqa: F401
import scipy.linalg  # noqa: F401  both load a library whose threads are limited
from threadpoolctl import OpenBLASController, ThreadpoolController

_LOCK = Lock()
_within: list = []


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread in a block, so that results do not depend on the number of threads.

    The limit holds for the whole process: the first block to be entered sets it and the last to be left lifts it, on
    whatever threads they run.
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
