import threading

from trajlab.explorer.aside import KEPT, Aside


def test_a_value_arrives_and_an_error_takes_its_place():
    arrived = threading.Semaphore(0)
    aside = Aside(arrived.release)
    assert aside.value("sum", lambda: 1 + 1) is None
    assert aside.value("fault", lambda: 1 / 0) is None
    for _ in range(2):
        assert arrived.acquire(timeout=60)
    assert aside.value("sum", lambda: 3) == 2
    assert isinstance(aside.value("fault", lambda: 3), ZeroDivisionError)


def test_the_last_values_are_kept():
    arrived = threading.Semaphore(0)
    aside = Aside(arrived.release)
    for number in range(KEPT + 1):
        aside.value(number, lambda number=number: number)
        assert arrived.acquire(timeout=60)
    assert aside.value(KEPT, lambda: "anew") == KEPT
    assert aside.value(0, lambda: "anew") is None
