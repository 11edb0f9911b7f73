"""Heat maps show the steps that there are, and no others."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.marks.heat import FEW, heat


def rows(steps, **coords):
    """Two rows over steps."""
    values = np.arange(2.0 * len(steps)).reshape(2, -1) + 1
    return xr.DataArray(values, {"parameter": ["a", "b"], "step": steps} | coords, ("parameter", "step"))


def _draw(array, **options):
    ax = Figure((7, 3)).add_subplot()
    heat(array, ax, **options)
    return ax


def test_heat__gives_few_steps_columns_of_one_width_with_their_names():
    ax = _draw(rows([0, 10, 100, 5000]))

    assert ax.get_xlim() == (-0.5, 3.5)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "10", "100", "5,000"]
    assert ax.get_xlabel() == "step"


def test_heat__names_as_many_steps_as_fit_and_the_last():
    ax = Figure((2, 3)).add_subplot()
    heat(rows(np.arange(FEW) * 1_000_000), ax, bar=False)

    named = [label.get_text() for label in ax.get_xticklabels()]
    assert 2 <= len(named) < FEW
    assert (named[0], named[-1]) == ("0", "11,000,000")


@pytest.mark.parametrize("gap", [1, 7])
def test_heat__of_many_steps_begins_with_the_first_and_ends_with_the_last(gap):
    steps = 3 + np.arange(FEW + 1) * gap

    ax = _draw(rows(steps))

    assert ax.get_xlim() == (steps[0], steps[-1])
    assert all(steps[0] <= tick <= steps[-1] for tick in ax.get_xticks())
