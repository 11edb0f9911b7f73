import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.marks.colors import CATEGORIES
from trajlab.figures.marks.lines import lines, palette, styles_of

STEPS = np.array([0, 10, 20])


def of_runs(values, **facts):
    """Lines of runs with facts."""
    coords = {"run": [f"r{i}" for i in range(len(values))], "step": STEPS[: np.shape(values)[1]]}
    coords |= {name: ("run", np.array(fact, dtype=object)) for name, fact in facts.items()}
    return xr.DataArray(values, coords, ("run", "step"))


def drawn(array, **options):
    ax = Figure((7, 3)).add_subplot()
    return ax, lines(array, ax, **options)


def test_lines__pass_over_what_a_logarithm_does_not_show():
    array = xr.DataArray([0.0, 1.0, 1e4], {"step": STEPS}, "step")
    ax = Figure().add_subplot()

    (line,) = lines(array, ax, log=True)

    assert ax.get_yscale() == "log"
    assert line.get_xdata().tolist() == [10, 20]
    (whole,) = lines(array.where(array < 2, 5.0), Figure().add_subplot())
    assert whole.get_xdata().tolist() == [0, 10, 20]


def test_log_axes__of_few_decades_name_more_than_their_powers_of_ten():
    ax = Figure().add_subplot()
    lines(xr.DataArray([0.3, 0.6, 0.8], {"step": STEPS}, "step"), ax, log=True)

    assert len([tick for tick in ax.get_yticks() if 0.3 <= tick <= 0.8]) > 0


def test_lines__name_no_step_beyond_their_ends():
    ax = Figure((7, 3)).add_subplot()
    lines(xr.DataArray(np.arange(485.0), {"step": np.arange(8, 493)}, "step"), ax)
    ax.set_xlim(0, 600)

    assert {8, 492} <= set(ax.get_xticks())
    assert all(8 <= tick <= 492 for tick in ax.get_xticks())


def test_lines__are_colored_by_what_tells_most_and_dashed_by_what_tells_next():
    array = of_runs(np.arange(12.0).reshape(4, 3), optimizer=["adam", "adam", "sgd", "sgd"], lr=["2", "10"] * 2)

    styles, legend = styles_of(array, "run")

    assert [style["color"] for style in styles] == [CATEGORIES[0]] * 2 + [CATEGORIES[1]] * 2
    assert [style["linestyle"] for style in styles] == ["-", "--", "-", "--"]
    labels = ["optimizer: adam", "optimizer: sgd", "lr: 2", "lr: 10"]  # by number, not by letter
    assert [handle.get_label() for handle in legend] == labels
    assert [text.get_text() for text in drawn(array)[0].get_legend().get_texts()] == labels


def test_lines__of_runs_that_differ_in_their_seed_only_have_a_color_each():
    ax, shown = drawn(of_runs(np.ones((3, 3)), seed=[0, 1, 2]))

    assert [line.get_color() for line in shown] == list(CATEGORIES[:3])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["r0", "r1", "r2"]


def test_lines__too_many_for_colors_are_pale_and_have_no_legend():
    ax, shown = drawn(of_runs(np.ones((25, 3))))

    assert {line.get_alpha() for line in shown} == {0.5} and ax.get_legend() is None


def test_lines__show_a_lone_value_and_nothing_where_nothing_is_known():
    values = [[np.nan, 3.0, np.inf], [np.nan] * 3]
    _, (lone, nothing) = drawn(of_runs(values))

    assert (lone.get_xdata().tolist(), lone.get_marker()) == ([10], "o")
    assert not len(nothing.get_xdata())


@pytest.mark.parametrize(("values", "top"), [([0.1, 0.5, np.nan], 0.54), ([0.2, 0.99, 1.0], 1.02), ([0, 0, 0], 0.01)])
def test_lines__of_shares_begin_at_0_and_end_at_1(values, top):
    ax, _ = drawn(xr.DataArray(values, {"step": STEPS}, "step", attrs={"share": True}))

    assert ax.get_ylim() == pytest.approx((0.0, top))
    assert ax.yaxis.get_major_formatter()(0.25) == "25 %"


def test_palette__has_as_many_different_colors_as_asked_for():
    assert palette(3) == list(CATEGORIES[:3])
    assert len({tuple(color) for color in palette(40)}) == 40 and palette(0) == []
