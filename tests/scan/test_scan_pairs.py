import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.scan.kernels.between_runs import ACROSS, Across
from trajlab.scan.scan import scan
from trajlab.scan.scan_pairs import scan_pairs
from trajlab.scan.window import _Reader


@pytest.fixture
def runs(checkpoints, rng, tmp_path):
    """Three runs on disk, two tensors each, the one with a NaN."""
    folders = []
    for name in "abc":
        values = {
            "w": rng.standard_normal((5, 9, 7)).astype(np.float32),
            "b": rng.standard_normal((5, 3)).astype(np.float32),
        }
        values["b"][2, 1] = np.nan
        folders.append(checkpoints(values, folder=tmp_path / name))
    return [trajlab.open(folder).weights for folder in folders]


@pytest.mark.parametrize("sizes", [{}, {"SHORT_ENTRIES": 5, "TILE_ENTRIES": 16}, {"BLOCK_BYTES": 1}])
def test_scan_pairs__says_of_each_pair_what_a_scan_says(runs, sizes, monkeypatch):
    for name, value in sizes.items():
        monkeypatch.setattr(f"trajlab.sizes.{name}", value)
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    table = scan_pairs(runs, pairs).compute()
    for of_pair, (first, second) in zip(table, pairs, strict=True):
        expected, _ = scan(Across(), runs[first], other=runs[second], reference=0)
        xr.testing.assert_allclose(of_pair, expected.compute(), rtol=1e-12)
        assert of_pair.coords.to_dataset().identical(expected.coords.to_dataset())
    assert table.column.values.tolist() == list(ACROSS)


def test_scan_pairs__reads_each_run_once_whatever_the_number_of_pairs(runs, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.SHORT_ENTRIES", 1)
    reads, read = [], _Reader.read
    monkeypatch.setattr(_Reader, "read", lambda self, lo, hi: reads.append(len(self.paths)) or read(self, lo, hi))
    counts = []
    for pairs in ([[0, 1], [1, 2]], [[0, 1], [1, 2], [0, 2], [2, 0]]):
        scan_pairs(runs, np.array(pairs)).compute(scheduler="sync")
        counts.append(sum(reads))
        reads.clear()
    assert counts[0] == counts[1] == 2 * 3 * 5  # each row of two tensors of three runs
