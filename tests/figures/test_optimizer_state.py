import numpy as np
import pytest
from matplotlib.figure import Figure

import trajlab
from tests.serving import with_moments
from trajlab.figures import figure, panels


@pytest.fixture
def result():
    return trajlab.run("optimizer_state", with_moments(trajlab.example())).compute()


def test_update__is_a_heat_map_of_the_layers(result):
    ax = figure(result)
    label = " ".join(ax.figure.axes[-1].get_ylabel().split())
    assert label.startswith("last update relative to the weights")


def test_effective_learning_rate__is_the_median_unless_another_is_chosen(result):
    def shown(**select):
        return figure(result, variable="effective_lr", **select).collections[0].get_array()

    median = result.effective_lr.sel(quantile=0.5).transpose("parameter", "step")
    np.testing.assert_allclose(shown(), median.values)
    assert not np.allclose(shown(quantile=0.95), median.values)


def test_panels__are_those_of_what_is_known(result):
    chosen = {panel.key: panel for panel in panels(result)}
    assert set(chosen) == {"update", "direction", "rate", "gradient", "fading"}
    for panel in chosen.values():
        panel.draw(Figure(panel.size))
    empty = result.assign(
        zero_moments=result.zero_moments + 0.1, fading=result.fading + 0.1,
        total_gradient_rms=result.total_gradient_rms * np.nan,
    )  # fmt: skip
    assert {panel.key for panel in panels(empty)} == {"update", "direction", "rate", "zero", "fading"}
