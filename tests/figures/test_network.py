import pytest
from matplotlib.figure import Figure

from trajlab.figures.marks.colors import NODES
from trajlab.figures.network import COLORS, draw_network, sort_of
from trajlab.replays.module_graph import Node


@pytest.mark.parametrize(
    ("name", "sort"),
    [
        ("Conv2d", "convolution"), ("LazyLinear", "linear"), ("MultiheadAttention", "attention"), ("GRU", "recurrence"),
        ("BatchNorm2d", "normalization"), ("MaxPool2d", "pooling"), ("GELU", "activation"), ("Dropout", "other module"),
    ],
)  # fmt: skip
def test_sort_of__modules_by_their_class(name, sort):
    assert sort_of(Node("a", "module", name)) == sort and sort in COLORS
    assert {sort_of(Node("x", "function")), sort_of(Node("input", "input"))} <= set(NODES)


def test_draw_network__has_a_row_for_each_node_and_a_curve_for_each_edge():
    nodes = [
        Node("input", "input", shape=(1, 8, 8)),
        Node("conv", "module", "Conv2d", shape=(4, 8, 8), parameters=40, sources=[0]),
        Node("add", "function", shape=(4, 8, 8), sources=[1, 0]),
    ]
    ax = draw_network(nodes, Figure((7, 3)).add_subplot())
    texts = [text.get_text() for text in ax.texts]
    assert {"conv", "Conv2d", "4 × 8 × 8", "parameters", "add"} <= set(texts)
    assert texts.count("40") == 2  # in the row of the convolution, and of the whole network
    widths = [patch.get_path().get_extents().width for patch in ax.patches]
    assert len(widths) == 3 and sorted(width > 0 for width in widths) == [False, False, True]  # one goes around a row
    assert ax.get_ylim() == pytest.approx((3.5, -1.2))  # a row of titles, and one of the whole network
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "convolution" in labels and "function" in labels and "linear" not in labels
