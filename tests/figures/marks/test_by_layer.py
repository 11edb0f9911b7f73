import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.marks.by_layer import FEW, by_layer
from trajlab.figures.marks.colors import INK
from trajlab.replays.observers.observer import INPUT


def array(values, layers, steps=(0, 10), **attrs):
    dims = ("run", "step", "layer")[-np.ndim(values) :]
    return xr.DataArray(values, {"step": list(steps), "layer": layers}, dims, attrs=attrs)


def drawn(data, **options):
    ax = Figure((7, 3)).add_subplot()
    by_layer(data, ax, **options)
    return ax


def test_by_layer__draws_the_inputs_apart_and_the_majority_class():
    ax = drawn(array([[1.0, 2.0], [3.0, 4.0]], [INPUT, "fc"]), chance=0.5)

    inputs, layer, chance = ax.lines
    assert (inputs.get_color(), inputs.get_linestyle(), layer.get_linestyle()) == (INK, ":", "-")
    assert layer.get_color() != INK and layer.get_ydata().tolist() == [2, 4]
    assert chance.get_ydata() == [0.5, 0.5] and chance.get_label() == "majority class"
    assert ax.get_ylim()[0] == 0


def test_by_layer__of_several_runs_draws_the_median_over_faint_lines():
    values = np.array([1.0, 2.0, 9.0])[:, None, None] * np.ones((3, 2, 1))
    ax = drawn(array(values, ["fc"]))

    assert [line.get_alpha() for line in ax.lines] == [0.3, 0.3, 0.3, None]
    assert ax.lines[-1].get_ydata().tolist() == [2, 2]
    (alone,) = drawn(array(values[2:], ["fc"])).lines
    assert alone.get_ydata().tolist() == [9, 9]


def test_by_layer__few_steps_have_marks_and_shares_are_in_per_cent():
    few = drawn(array([[0.25]] * FEW, ["fc"], range(FEW), share=True))
    many = drawn(array([[0.25]] * (FEW + 1), ["fc"], range(FEW + 1)))

    assert (few.lines[0].get_marker(), many.lines[0].get_marker()) == ("o", "None")
    assert few.get_ylim() == (0, 1.02) and few.yaxis.get_major_formatter()(0.25) == "25 %"
