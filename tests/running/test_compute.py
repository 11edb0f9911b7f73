import threading

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from trajlab.errors import OutputExists, TrajlabError
from trajlab.running.compute import computing, write
from trajlab.schema import RESULT_VERSION


def lazy(function=lambda block: block + 1):
    array = da.map_blocks(function, da.zeros((4, 3), chunks=(1, 3)), dtype=float)
    return xr.Dataset({"x": (("step", "unit"), array)}, {"step": np.arange(4)}, {"Conventions": RESULT_VERSION})


def test_write__computes_all_and_writes_plain_zarr(tmp_path):
    write({tmp_path / "a.zarr": lazy(), tmp_path / "b.zarr": lazy(lambda block: block + 2)})
    for name, value in (("a", 1), ("b", 2)):
        stored = xr.open_zarr(tmp_path / f"{name}.zarr")
        assert (stored.x.values == value).all() and stored.attrs["Conventions"] == RESULT_VERSION
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


def test_write__of_a_path_that_exists_computes_nothing(tmp_path):
    calls = []
    write({tmp_path / "a.zarr": lazy()})
    watched = lazy(lambda block: calls.append(1) or block)
    calls.clear()  # dask tries the function on empty blocks
    with pytest.raises(OutputExists, match="a.zarr"):
        write({tmp_path / "new.zarr": watched, tmp_path / "a.zarr": watched})
    assert not calls and not (tmp_path / "new.zarr").exists()
    write({tmp_path / "a.zarr": lazy(lambda block: block + 5)}, overwrite=True)
    assert (xr.open_zarr(tmp_path / "a.zarr").x == 5).all()


def test_write__leaves_nothing_after_an_error(tmp_path):
    def broken(block):
        if block.size:
            raise ZeroDivisionError
        return block

    with pytest.raises(ZeroDivisionError):
        write({tmp_path / "a.zarr": lazy(broken)})
    assert not list(tmp_path.iterdir())


def test_computing__sets_the_number_of_threads():
    with computing("x", workers=1):
        threads = da.map_blocks(lambda block: block + threading.get_ident(), da.zeros(8, chunks=1, dtype=np.int64))
        assert len(set(threads.compute().tolist())) == 1


def test_computing__shows_progress_on_a_terminal_only(monkeypatch, capsys):
    with computing("drift"):
        lazy().compute()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with computing("drift"):
        lazy().compute()
    assert "drift" in capsys.readouterr().err


def test_computing__a_scheduler_without_an_address_is_an_error_of_one_line():
    pytest.importorskip("distributed")
    with (
        pytest.raises(TrajlabError, match="cannot reach the scheduler nonsense://x"),
        computing("x", scheduler="nonsense://x"),
    ):
        pass
