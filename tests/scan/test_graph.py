import ast
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest

import trajlab
from trajlab.scan.graph import Graph, call, delayed, map_blocks
from trajlab.threads import _controller

PACKAGE = Path(trajlab.__file__).parent

INTERNALS = ("dask._task_spec", "dask.task_spec", "dask.highlevelgraph", "dask.blockwise")
"""Modules of dask's own representation of graphs."""


def imports_internals(source: str) -> bool:
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return any(module == name or module.startswith(f"{name}.") for module in modules for name in INTERNALS)


def test_two_files_know_dask_graphs():
    files = {
        path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if imports_internals(path.read_text())
    }
    assert files == {"scan/graph.py", "running/fuse.py"}


def test_imports_of_graph_internals_are_found():
    assert imports_internals("from dask import task_spec")
    assert imports_internals("def f():\n    from dask.highlevelgraph import HighLevelGraph")
    assert not imports_internals("import dask.array as da\nfrom dask.base import tokenize")


def blas_threads() -> int:
    return max(library["num_threads"] for library in _controller().info())


def test_graph__arguments_are_results_chunks_calls_and_lists_of_these():
    graph = Graph("sums")
    array = da.from_array(np.arange(6.0).reshape(3, 2), chunks=(1, 2))
    rows = [graph.add(("row", number), np.sum, graph.chunk(array, number)) for number in range(3)]
    made = graph.array("pair", (2,), lambda parts, total: np.array([sum(parts), total[0]]), rows, call(list, [rows[1]]))
    assert made.compute().tolist() == [15.0, 5.0]


def test_graph__a_row_a_chunk():
    graph = Graph("rows")
    value = graph.constant("rows-constant", np.ones(2))
    array = graph.array_of_rows("out", (2,), lambda a, k: k * a[None], [(value, k) for k in (1, 2)], dtype=float)
    assert array.chunks == ((1, 1), (2,))
    assert array.compute().tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize("make", [
    lambda: Graph("threads").array("x", (), lambda: np.array(blas_threads())),
    lambda: delayed(blas_threads)(),
    lambda: map_blocks(lambda x: x + blas_threads(), da.zeros(1)),
])  # fmt: skip
def test_graph__tasks_run_with_blas_on_one_thread(make):
    (value,) = dask.compute(make())
    assert np.asarray(value).item() == 1
