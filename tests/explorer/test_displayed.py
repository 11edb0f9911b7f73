import pytest

pytest.importorskip("panel", reason="the page needs trajlab[explore]")

from trajlab.explorer.displayed import Displayed  # noqa: E402


def test_a_function_is_called_once_when_the_page_is_displayed():
    mark, calls = Displayed(), []
    mark.call(lambda: calls.append(1))
    assert not calls
    for shown in (True, False, True):
        mark.shown = shown
    assert calls == [1]
