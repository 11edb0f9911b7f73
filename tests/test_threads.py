import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from trajlab.threads import one_thread


def blas_threads():
    return [library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers]


@pytest.fixture
def two():
    """Let BLAS use two threads, whatever the machine has."""
    np.eye(3) @ np.eye(3)
    with threadpool_limits(2, user_api="blas"):
        if 2 not in blas_threads():
            pytest.skip("this BLAS has no threads")
        yield blas_threads()


def test_one_thread__holds_inside_and_is_lifted_after(two):
    with one_thread():
        assert set(blas_threads()) == {1}
    assert blas_threads() == two


def test_one_thread__is_lifted_after_an_error(two):
    with pytest.raises(ZeroDivisionError), one_thread():
        raise ZeroDivisionError
    assert blas_threads() == two


def test_one_thread__nested_blocks_lift_it_once(two):
    with one_thread():
        with one_thread():
            pass
        assert set(blas_threads()) == {1}
    assert blas_threads() == two


def test_one_thread__the_last_to_leave_lifts_it_on_whatever_thread(two):
    """The block entered first ends first: the limit stays for the other thread, which then lifts it."""
    entered, leave, counts = threading.Event(), threading.Event(), []

    def other():
        with one_thread():
            entered.set()
            leave.wait(10)
            counts.append(blas_threads())

    thread = threading.Thread(target=other)
    with one_thread():
        thread.start()
        assert entered.wait(10)
    leave.set()
    thread.join(10)
    assert set(counts[0]) == {1} and blas_threads() == two
