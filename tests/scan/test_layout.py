import numpy as np
import pytest
import xarray as xr

from trajlab import sizes
from trajlab.scan.graph import Graph
from trajlab.scan.kernels.drift_sums import Pairs
from trajlab.scan.layout import Layout
from trajlab.scan.source import Source


def layout_of(*tensors, kernel=None, block_steps=None):
    graph = Graph("layout")
    layout = Layout(graph, kernel or Pairs(), ())
    for number, values in enumerate(tensors):
        array = xr.DataArray(values, {"step": np.arange(len(values))}, ("step", "entry"))
        if block_steps:
            array.encoding["block_steps"] = block_steps
        rows = Source(array, graph)
        layout.add(str(number), str(number), rows, rows.rows(0, 1), None, None, None, None)
    return graph, layout


def tensor(steps, size):
    return np.zeros((steps, size), np.float32)


def test_layout__small_tensors_share_a_task(monkeypatch):
    monkeypatch.setattr(sizes, "GROUP_BLOCKS", 3)
    _, layout = layout_of(*[tensor(4, 2)] * 7)
    assert layout.blocks == [[(0, 0)], [(0, 1)], [(0, 2)], [(1, 0)], [(1, 1)], [(1, 2)], [(2, 0)]]
    assert len(layout.passes()) == 3


def test_layout__a_task_takes_blocks_until_they_are_large(monkeypatch):
    monkeypatch.setattr(sizes, "GROUP_BYTES", 100)
    _, layout = layout_of(tensor(4, 5), tensor(4, 5), tensor(1, 5), tensor(1, 1), tensor(100, 9))
    assert layout.blocks == [[(0, 0)], [(1, 0)], [(1, 1)], [(2, 0)], [(3, 0)]]


@pytest.mark.parametrize(("most", "blocks"), [(4, 3), (100, 1), (1, 10)])
def test_layout__a_tensor_is_cut_into_blocks_of_steps(monkeypatch, most, blocks):
    monkeypatch.setattr(sizes, "SHORT_BLOCK_STEPS", most)
    _, layout = layout_of(tensor(10, 5))
    assert len(layout.blocks[0]) == blocks


def test_layout__tensors_that_are_made_together_share_the_tasks_of_their_steps():
    _, layout = layout_of(tensor(5, 3), tensor(5, 300), block_steps=2)
    assert layout.blocks == [[(0, 0), (1, 0), (2, 0)], [(0, 1), (1, 1), (2, 1)]]
    assert len(layout.passes()) == 3


def test_layout__totals_are_merged_block_by_block_in_order():
    class Steps(Pairs):
        folds = True

        def merge(self, earlier, later):
            return earlier + later

        def finish(self, block, state):
            return np.zeros((block.steps, len(self.columns))), block.step.tolist()

    sizes_before, sizes.SHORT_BLOCK_STEPS = sizes.SHORT_BLOCK_STEPS, 2
    try:
        graph, layout = layout_of(tensor(5, 3), tensor(4, 3), kernel=Steps())
    finally:
        sizes.SHORT_BLOCK_STEPS = sizes_before
    totals = layout.totals(layout.passes())
    result = graph.array("all", (2,), lambda parts: np.array([str(part[0]) for part in parts], object), totals)
    assert result.compute(scheduler="sync").tolist() == ["[0, 1, 2, 3, 4]", "[0, 1, 2, 3]"]
