"""Stores that stall, fail and answer short: right numbers, or one clear error in the end."""

import itertools
import time

import fsspec
import numpy as np
import pytest
from safetensors.numpy import save_file

import trajlab
from trajlab.errors import DamagedData, TrajlabError
from trajlab.runs.disk import stores
from trajlab.runs.disk.stores import repeatedly

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def series(proxy, tmp_path_factory):
    """Put a series of snapshots into a bucket, and give its URL and the values of its tensor."""
    values = np.random.default_rng(0).standard_normal((12, 30, 10)).astype(np.float32)
    folder = tmp_path_factory.mktemp("series")
    store = fsspec.filesystem("s3")
    store.mkdir("s3://bucket")
    for step, value in enumerate(values):
        save_file({"weight": value}, folder / f"step{step}.safetensors")
    store.put(str(folder), "s3://bucket/series", recursive=True)
    return "s3://bucket/series", values


@pytest.fixture
def faulty(proxy):
    """Set the fault of the requests from now on; returns the proxy."""

    def faulty(fault):
        proxy.numbers, proxy.faults, proxy.fault = itertools.count(), 0, fault
        return proxy

    yield faulty
    proxy.fault = lambda number: ""


@pytest.mark.parametrize("kind", ["fail", "cut", "stall"])
def test_store__that_fails_every_tenth_request_gives_the_right_numbers(kind, series, faulty):
    url, values = series
    proxy = faulty(lambda number: kind if number % 10 == 4 else "")
    run = trajlab.open(url)
    np.testing.assert_array_equal(run.weights["weight"].values, values)
    assert proxy.faults >= 2
    drift = trajlab.run("drift", run).compute()
    moved = np.linalg.norm((values[-1] - values[0]).ravel().astype(float))
    assert float(drift.distance_l2.isel(step=-1).squeeze()) == pytest.approx(moved, rel=1e-6)


def test_store__that_answers_short_always_is_an_error(series, faulty):
    url, _ = series
    run = trajlab.open(url)
    faulty(lambda number: "short")
    with pytest.raises(DamagedData, match="cannot fetch bytes .* of s3://bucket/series/step.*: it ends at byte"):
        run.weights["weight"].compute()


@pytest.mark.slow
def test_store__that_stalls_is_one_error_after_a_bounded_number_of_requests(series, faulty):
    url, _ = series
    proxy = faulty(lambda number: "stall")
    with pytest.raises(TrajlabError, match=r"cannot reach s3://bucket/series: .*; check the address"):
        trajlab.open(url)
    assert proxy.faults <= 5 * stores.ATTEMPTS


def test_configure_stores__keeps_what_the_user_has_set(monkeypatch):
    monkeypatch.setattr(fsspec.config, "conf", {"s3": {"config_kwargs": {"read_timeout": 99}}})
    stores.configure_stores.__wrapped__()
    assert fsspec.config.conf["s3"] == {"config_kwargs": {"read_timeout": 99}}
    assert fsspec.config.conf["s3a"]["config_kwargs"]["read_timeout"] == stores.READ_SECONDS
    assert fsspec.config.conf["https"]["get_client"] is stores._http_client


def test_repeatedly__asks_again_for_what_failed_only(monkeypatch):
    asked, pauses = [], []
    monkeypatch.setattr(time, "sleep", pauses.append)

    def request(numbers):
        asked.append(list(numbers))
        return [number if number + len(asked) > 3 else -1 for number in numbers]

    assert repeatedly(request, 4, lambda number, answer: answer >= 0) == [-1, 1, 2, 3]
    assert asked == [[0, 1, 2, 3], [0, 1, 2], [0, 1]]
    assert pauses == pytest.approx([stores.BACKOFF_SECONDS, 2 * stores.BACKOFF_SECONDS])
