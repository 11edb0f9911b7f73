from collections import Counter

import numpy as np
import pytest
import xarray as xr

from trajlab import sizes
from trajlab.scan.graph import Graph
from trajlab.scan.kernels.drift_sums import Pairs
from trajlab.scan.layout import Layout
from trajlab.scan.scan import scan
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


class Steps(Pairs):
    """Lists the steps of all blocks in its total."""

    summary = ("first", "last", "count")

    def parts(self, state):
        return {}

    def add(self, block, lo, hi, state):
        pass

    def merge(self, earlier, later):
        return earlier + later

    def finish(self, block, state):
        return np.zeros((block.steps, len(self.columns))), block.step.tolist()

    def summarize(self, total, shape, indices):
        assert total == sorted(total)
        return np.array([total[0], total[-1], len(total)])


class Folding(Steps):
    def folds(self, size):
        return size > 2


def arrays_of(lives):
    return {name: xr.DataArray(rows, {"step": np.arange(len(rows))}, ("step", "in")) for name, rows in lives.items()}


@pytest.mark.parametrize("kernel", [Steps(), Folding()])
def test_layout__totals_are_merged_in_the_order_of_the_steps(monkeypatch, kernel):
    monkeypatch.setattr(sizes, "SHORT_BLOCK_STEPS", 2)
    _, summary = scan(kernel, arrays_of({"a": tensor(5, 3), "b": tensor(4, 3), "c": tensor(3, 2)}))
    assert summary.compute(scheduler="sync").values.tolist() == [[0, 4, 5], [0, 3, 4], [0, 2, 3]]


@pytest.mark.parametrize(("kernel", "readers"), [(Steps(), 2), (Folding(), 1)])
def test_layout__a_block_of_a_large_tensor_is_needed_by_one_task_alone(monkeypatch, kernel, readers):
    """So that it is let go as soon as it is merged, and dask follows one tensor after the other."""
    monkeypatch.setattr(sizes, "SHORT_BLOCK_STEPS", 1)
    monkeypatch.setattr(sizes, "GROUP_BLOCKS", 1)
    table, summary = scan(kernel, arrays_of({"a": tensor(4, 3), "b": tensor(3, 3)}))
    tasks = dict(table.__dask_graph__()) | dict(summary.__dask_graph__())
    needed = Counter(key for task in tasks.values() for key in task.dependencies)
    blocks = [key for key in tasks if "-blocks" in key[0]]
    assert len(blocks) == 7
    assert {needed[key] for key in blocks} == {readers}
