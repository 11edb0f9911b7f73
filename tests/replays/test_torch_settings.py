import threading

import pytest
import torch

from trajlab.replays.torch_settings import alone


def settings():
    return torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()


@pytest.fixture
def usual():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield settings()
    torch.set_num_threads(before)


def test_alone__holds_inside_and_leaves_the_settings_as_they_were(usual):
    with alone("cpu"):
        assert settings() == (1, False)
    assert settings() == usual
    with pytest.raises(ZeroDivisionError), alone("cpu"):
        raise ZeroDivisionError
    assert settings() == usual


def test_alone__the_last_of_several_threads_puts_the_fast_path_back(usual):
    entered, leave = threading.Event(), threading.Event()

    def other():
        with alone("cpu"):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with alone("cpu"):
        thread.start()
        assert entered.wait(10)
    assert settings()[1] is False  # the other still needs it
    leave.set()
    thread.join(10)
    assert settings() == usual


def test_alone__passes_on_an_accelerator_go_one_after_the_other():
    order = []

    def other():
        with alone("cuda"):
            order.append("second")

    thread = threading.Thread(target=other)
    with alone("cuda"):
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
