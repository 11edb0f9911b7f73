import threading

import dask
import pytest

from trajlab.explorer.progress import Progress, Stopped


def parts(count, function):
    return [dask.delayed(function, pure=False)(number) for number in range(count)]


def test_progress__each_share_once_up_to_all():
    shown = []
    with Progress(shown.append, threading.Event()):
        dask.compute(parts(4, abs), scheduler="sync", optimize_graph=False)
    assert shown[-1] == "100 %" and "25 %" in shown
    assert len(set(shown)) == len(shown)


def test_progress__many_tasks_are_told_by_the_percent():
    shown = []
    with Progress(shown.append, threading.Event()):
        dask.compute(parts(1000, abs), scheduler="sync", optimize_graph=False)
    assert len(shown) <= 101 and shown[-1] == "100 %"


def test_progress__counts_anew_for_another_computation():
    shown = []
    with Progress(shown.append, threading.Event()):
        for _ in range(2):
            dask.compute(parts(2, abs), scheduler="sync", optimize_graph=False)
    assert shown.count("50 %") == 2


def test_progress__stops_before_the_next_task():
    stopping, done = threading.Event(), []

    def work(number):
        done.append(number)
        stopping.set()

    with Progress(lambda share: None, stopping), pytest.raises(Stopped):
        dask.compute(parts(5, work), scheduler="sync")
    assert len(done) == 1
