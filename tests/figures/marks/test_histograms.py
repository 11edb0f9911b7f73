import numpy as np
from matplotlib.figure import Figure

from trajlab.figures.marks.histograms import histograms

EDGES = np.array([0.0, 1.0, 3.0])
STEPS = np.array([0, 1000])


def drawn(parts, position=1, **options):
    frames = histograms(parts, STEPS, columns=2, **options)
    figure = Figure(frames.size)
    frames.draw(figure, position)
    return frames, figure


def test_histograms__draw_the_density_of_a_step_over_the_outline_of_the_first():
    counts = np.array([[2.0, 2.0], [1.0, 6.0]])

    frames, figure = drawn({"fc": (counts, EDGES)}, title="weights")

    filled, outline = figure.axes[0].patches
    np.testing.assert_allclose(filled.get_data().values, [1 / 7, 3 / 7])
    np.testing.assert_allclose(outline.get_data().values, [0.5, 0.25])
    assert figure.get_suptitle() == "weights, step 1,000" and len(figure.axes) == 1
    assert frames.steps is STEPS and frames.size[0] > frames.size[1]


def test_histograms__cut_off_a_step_that_towers_above_typical_ones():
    counts = np.array([[1.0, 2.0], [1e6, 0.0]])
    thin = np.array([0.0, 1e-3, 2.0])

    _, figure = drawn({"fc": (counts, thin)})

    peaks = counts / counts.sum(1, keepdims=True) / np.diff(thin)
    np.testing.assert_allclose(figure.axes[0].get_ylim(), (0, 1.05 * peaks.max()))
    many = np.vstack([np.repeat([[1.0, 1.0]], 9, 0), [[1e6, 0.0]]])
    frames = histograms({"fc": (many, np.array([0.0, 1.0, 2.0]))}, np.arange(10), columns=1)
    figure = Figure(frames.size)
    frames.draw(figure, 9)
    np.testing.assert_allclose(figure.axes[0].get_ylim(), (0, 1.05))


def test_histograms__without_a_number_say_so():
    _, figure = drawn({"a": (np.zeros((2, 2)), EDGES), "b": (np.ones((2, 2)), np.zeros(3)), "c": (np.eye(2), EDGES)})

    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [["no spread"], ["no spread"], []]
    assert figure.get_suptitle() == "step 1,000"
