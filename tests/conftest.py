"""What all tests share: a scheduler that refuses to compute, runs on disk, and a browser."""

import os
import shutil
import sys
from pathlib import Path

import dask
import numpy as np
import pytest
from safetensors.numpy import save_file

import trajlab
from trajlab.runs.disk.rows import Rows

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(autouse=True)
def close_figures():
    """Leave no picture open: matplotlib warns of many, and a warning is an error."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session", autouse=True)
def state_directory(tmp_path_factory):
    """Keep the marks of runs that tests record away from those of the user."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture
def table(tmp_path, rng):
    """Return rows in two files, and their values."""
    values = rng.standard_normal((6, 2, 3)).astype(np.float32)
    for part in range(2):
        (tmp_path / f"{part}").write_bytes(b"headerxx" + values[3 * part : 3 * part + 3].tobytes())
    offset = 8 + 24 * np.tile(np.arange(3), 2)
    files = (str(tmp_path / "0"), str(tmp_path / "1"))
    return Rows(files, np.repeat([0, 1], 3).astype(np.int32), offset, (2, 3), np.dtype("<f4")), values


@pytest.fixture
def no_compute():
    """Make any compute an error: building a result must stay lazy."""

    def refuse(*args, **kwargs):
        raise AssertionError("something was computed while a lazy result was built")

    return lambda: dask.config.set(scheduler=refuse)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def example():
    return trajlab.example()


@pytest.fixture
def checkpoints(tmp_path):
    """Write arrays {name: [step, ...]} as a folder of checkpoints, and return the folder."""

    def write(arrays: dict[str, np.ndarray], steps=None, folder: Path | None = None) -> Path:
        folder = folder or tmp_path / "checkpoints"
        longest = max(len(array) for array in arrays.values())
        for row, step in enumerate(range(longest) if steps is None else steps):
            target = folder / f"checkpoint-{step}"
            target.mkdir(parents=True)
            save_file({name: np.ascontiguousarray(a[row]) for name, a in arrays.items()}, target / "model.safetensors")
        return folder

    return write


@pytest.fixture(scope="session")
def browser():
    """Return a context of a browser, whose cache all tests share; they are skipped where there is none.

    One of a process: a second playwright would start inside the event loop of the first.
    """
    api = pytest.importorskip("playwright.sync_api", reason="tests in a browser need playwright")
    if CHROMIUM is None:
        pytest.skip("tests in a browser need chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_context(
            viewport={"width": 1300, "height": 900}, color_scheme="light", reduced_motion="reduce"
        )
        browser.close()
