from matplotlib.figure import Figure

import trajlab
from tests.figures.axes import row_names
from trajlab.figures import figure, panels


def test_norm_of_the_gradient__is_a_heat_map_of_the_layers_that_have_one(study):
    ax = figure(trajlab.run("gradient_statistics", study).compute())

    assert row_names(ax) == ["conv.weight", "conv.bias", "fc.weight", "fc.bias"]
    assert ax.figure.axes[-1].get_ylabel().split() == ["norm", "of", "the", "gradient"]


def test_gradient_lines__are_logarithmic_and_show_weights_from_the_input_to_the_output(study):
    chosen = {panel.key: panel for panel in panels(trajlab.run("gradient_statistics", study).compute())}
    drawing = Figure(chosen["rms"].size)
    chosen["rms"].draw(drawing)

    (ax,) = drawing.axes
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["conv.weight", "fc.weight"]
    assert {"l2", "rms", "total", "angle", "variance"} == set(chosen)
