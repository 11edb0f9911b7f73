import numpy as np

import trajlab
from trajlab.figures import figure, panels
from trajlab.figures.spectrum import _long


def test_singular_values__are_drawn_against_the_range_of_noise():
    rng = np.random.default_rng(0)
    grown = rng.standard_normal((5, 30, 90)) + np.linspace(0, 1, 5)[:, None, None] * np.outer(np.ones(30), np.ones(90))
    result = trajlab.run("spectrum", trajlab.from_arrays({"w": grown, "noise": grown[:, :5, :7]})).compute()

    assert "row_overlap" in {panel.key for panel in panels(result)}
    ax = figure(result, parameter="w")

    colors = [line.get_color() for line in ax.lines if line.get_linestyle() == "-"]
    assert (len(colors), len(set(colors)), colors.count(colors[0])) == (30, 2, 1)
    (noise,) = ax.collections
    low, high = noise.get_paths()[0].vertices[:, 1].min(), noise.get_paths()[0].vertices[:, 1].max()
    one = result.sel(parameter="w")
    assert (low, high) == (one.mp_lower.min(), one.mp_upper.max())
    assert [text.get_text() for text in ax.get_legend().get_texts()][0] == "beyond noise at the end"


def test_exponents_of_tails__are_of_the_runs_in_which_the_matrix_is_large():
    rng = np.random.default_rng(0)
    shapes = {"wide": [(30, 40), (30, 5), (4, 30)], "narrow": [(3, 40), (30, 40), (4, 3)]}
    runs = {
        run: trajlab.from_arrays({name: rng.standard_normal((2, *size)) for name, size in zip("abc", own, strict=True)})
        for run, own in shapes.items()
    }
    result = trajlab.run("spectrum", runs).compute()

    alpha, left_out = _long(result)

    assert (alpha.parameter.values.tolist(), left_out) == (["a", "b"], 1)
    assert np.isfinite(alpha.isel(step=0).sel(run=["wide", "narrow"])).values.tolist() == [[True, False], [False, True]]
    assert "Left out: 1 with" in panels(result)[-1].caption
