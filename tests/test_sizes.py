"""Sizes decide speed and memory, not results: each is made small, and drift and distribution stay the same."""

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab import sizes
from trajlab.stages.distribution import distribution
from trajlab.stages.drift import drift

SMALL = {
    "CHUNK_BYTES": 64,
    "BLOCK_BYTES": 256,
    "BLOCK_STEPS": 2,
    "SHORT_BLOCK_STEPS": 2,
    "GROUP_BYTES": 1,
    "GROUP_BLOCKS": 1,
}


def results(run: trajlab.Trajectory) -> xr.Dataset:
    return xr.merge([drift(run.weights), distribution(run.weights, bins=4)], compat="override").compute()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    run = trajlab.from_arrays({"w": np.random.default_rng(0).standard_normal((7, 5, 11)).astype(np.float32)})
    store = tmp_path_factory.mktemp("sizes") / "run.zarr"
    trajlab.pack(run, store)
    return store


@pytest.mark.parametrize("name", SMALL)
def test_sizes__of_chunks_blocks_and_groups_change_no_result(folder, monkeypatch, name):
    expected = results(trajlab.open(folder))
    monkeypatch.setattr(sizes, name, SMALL[name])
    xr.testing.assert_identical(results(trajlab.open(folder)), expected)


def test_sizes__are_positive_and_hold_one_another():
    values = {name: value for name, value in vars(sizes).items() if name.isupper()}
    assert min(values.values()) > 0
    assert sizes.PACKED_CHUNK_BYTES <= sizes.SHARD_BYTES and sizes.SPAN_PIECE_BYTES <= sizes.SPAN_BYTES
    assert sizes.GRAM_TILE_MIN <= sizes.GRAM_TILE_MAX and 4 * sizes.TILE_ENTRIES <= sizes.BLOCK_BYTES
