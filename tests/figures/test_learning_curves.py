import numpy as np
import pytest
from matplotlib.figure import Figure

import trajlab
from trajlab.errors import MissingData
from trajlab.figures import figure, panels

STEPS = 40


def run(shift=0.0):
    fall = 3.0 * np.exp(-np.arange(STEPS) / 10) + shift
    metrics = {"loss": fall, "eval_loss": [fall[i] if i % 10 == 0 else None for i in range(STEPS)],
               "learning_rate": np.linspace(0.1, 0, STEPS), "grad_norm": 1 + fall,
               "epoch": np.arange(STEPS) / 8}  # fmt: skip
    return trajlab.from_arrays({"w": np.ones((STEPS, 2))}, metrics=metrics)


def test_loss__is_drawn_as_logged_and_smoothed_with_points_of_rare_evaluations():
    ax = figure(trajlab.run("learning_curves", run()).compute())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["loss", "eval_loss"]
    raw, smoothed, evaluated = ax.lines
    np.testing.assert_allclose(raw.get_ydata(), run().metrics.loss)
    assert not np.allclose(smoothed.get_ydata(), raw.get_ydata())
    assert evaluated.get_marker() == "o" and len(evaluated.get_xdata()) == 4


def test_panels__are_those_of_the_metrics_that_there_are():
    result = trajlab.run("learning_curves", run()).compute()
    chosen = {panel.key: panel for panel in panels(result)}
    assert list(chosen) == ["loss", "rate"]
    assert "moving average" in chosen["loss"].caption and "moving average" not in chosen["rate"].caption
    assert chosen["rate"].title == "Learning rate and gradient norm"
    (rate,) = [p for p in panels(result.drop_sel(metric=["grad_norm"])) if p.key == "rate"]
    assert (rate.title, rate.caption) == ("Learning rate", "Logged as learning_rate.")
    for panel in chosen.values():
        panel.draw(Figure(panel.size))
    several = trajlab.run("learning_curves", {"a": run(), "b": run(1.0)}).compute()
    for panel in panels(several):
        drawing = Figure(panel.size)
        panel.draw(drawing)
        assert len(drawing.axes[0].lines) == 2


def test_one_metric__is_chosen_by_name():
    ax = figure(trajlab.run("learning_curves", run()).compute(), metric="grad_norm")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), run().metrics.grad_norm)


def test_a_result_without_metrics_says_so():
    result = trajlab.run("learning_curves", run()).compute().isel(metric=slice(0, 0))
    with pytest.raises(MissingData, match="no metric"):
        figure(result)
