import pytest

from trajlab.errors import BadSetting
from trajlab.record.schedules import at, bursts, doubling, every


def chosen(schedule, stop=30):
    return [step for step in range(stop) if schedule(step)]


def test_every():
    assert chosen(every(1), 4) == [0, 1, 2, 3]
    assert chosen(every(7)) == [0, 7, 14, 21, 28]


def test_at():
    assert chosen(at(iter([5, 3, 5]))) == [3, 5]


def test_doubling():
    assert chosen(doubling(), 70) == [0, 1, 2, 4, 8, 16, 32, 64]


def test_schedule__dense_early_sparse_late():
    assert chosen(every(1).until(3) | every(10)) == [0, 1, 2, 10, 20]
    assert chosen(every(10).until(15) | every(5).since(20)) == [0, 10, 20, 25]


def test_schedule__and():
    assert chosen(every(2) & every(3)) == [0, 6, 12, 18, 24]


def test_schedule__combines_with_plain_functions():
    assert chosen(every(10) | (lambda step: step == 3)) == [0, 3, 10, 20]
    assert chosen(every(10) & (lambda step: step > 3)) == [10, 20]


def test_bursts__of_two_consecutive_steps():
    assert chosen(bursts(every(10), length=2)) == [0, 1, 10, 11, 20, 21]
    assert chosen(bursts(at([4]), length=3)) == [4, 5, 6]


def test_bursts__never_asks_for_negative_steps():
    def schedule(step):
        assert step >= 0
        return step == 1

    assert chosen(bursts(schedule, length=4), 8) == [1, 2, 3, 4]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2"])
def test_every__refuses_what_is_no_step_number(wrong):
    with pytest.raises(BadSetting, match="from 1 on"):
        every(wrong)


def test_at__refuses_negative_steps():
    with pytest.raises(BadSetting, match="-1"):
        at([3, -1])


def test_bursts__refuses_length_zero():
    with pytest.raises(BadSetting, match="length"):
        bursts(every(2), length=0)


def test_repr__lists_ranges_and_counts():
    assert repr(every(1).until(10) | every(300)) == "<Schedule: steps 0 to 9, 300, 600, 900; 13 of the first 1,000>"
    assert repr(at([])) == "<Schedule: steps none; 0 of the first 1,000>"


def test_repr_html__has_a_tick_for_each_step():
    html = every(100)._repr_html_()
    assert html.count("<path") == 10 and 'd="M900.5 0v16"' in html and "&lt;Schedule" in html
