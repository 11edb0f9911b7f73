import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from tests.figures.axes import row_names
from trajlab.errors import MissingData
from trajlab.figures.default import default, first_variable, panels


def result(**dims):
    sizes = {"step": 3, "layer": 4, "unit": 12, "few": 2, "run": 2}
    shapes = {name: [sizes[dim] for dim in over] for name, over in dims.items()}
    arrays = {name: (over, np.arange(np.prod(shapes[name]) * 1.0).reshape(shapes[name])) for name, over in dims.items()}
    used = {dim for over in dims.values() for dim in over}
    return xr.Dataset(
        arrays, {dim: [f"{dim}{i}" for i in range(sizes[dim])] if dim != "step" else [0, 5, 9] for dim in used}
    )


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        ({"a": ("unit",), "b": ("step",), "c": ("step", "layer")}, "c"),
        ({"a": ("unit",), "b": ("step",)}, "b"),
        ({"a": ("unit",)}, "a"),
    ],
)
def test_first_variable__is_over_steps_and_layers_if_there_is_one(dims, expected):
    assert first_variable(result(**dims)) == expected


def test_first_variable__of_texts_alone_is_an_error():
    with pytest.raises(MissingData, match="no numeric variable"):
        first_variable(xr.Dataset({"a": ("x", ["one", "two"])}))


@pytest.mark.parametrize(
    ("dims", "kind"),
    [
        (("step", "layer"), "map"), (("step", "unit"), "map"), (("step", "few"), "lines"), (("step", "run"), "lines"),
        (("layer", "unit"), "map"), (("layer",), "bars"), ((), "bars"),
    ],
)  # fmt: skip
def test_default__is_what_the_dims_suggest(dims, kind):
    ax = default(result(x=dims), ax=Figure().add_subplot())
    drawn = {"map": bool(ax.collections), "lines": bool(ax.lines), "bars": bool(ax.patches)}
    assert [name for name, is_drawn in drawn.items() if is_drawn] == [kind]


def test_default__bars_leave_out_what_is_not_finite():
    data = result(x=("layer",))
    data["x"].values[1:3] = np.nan, np.inf
    ax = default(data, ax=Figure().add_subplot())
    np.testing.assert_array_equal([bar.get_width() for bar in ax.patches], [0, np.nan, np.nan, 3])
    assert row_names(ax) == ["layer0", "layer1", "layer2", "layer3"]


def test_panels__show_a_few_variables_the_first_one_first():
    dims = {f"v{i}": ("step",) for i in range(8)} | {"map": ("step", "layer")}
    data = result(**dims).assign(text=("step", ["a", "b", "c"]))
    figures = panels(data)
    assert [panel.key for panel in figures] == ["map", *(f"v{i}" for i in range(5))]
    for panel in figures[:2]:
        drawing = Figure(panel.size)
        panel.draw(drawing)
        assert drawing.axes[0].has_data()
