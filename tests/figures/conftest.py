"""What the figure tests share: no picture is left open."""

import pytest
from matplotlib import pyplot


@pytest.fixture(autouse=True)
def close_figures():
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")
