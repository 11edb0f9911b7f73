"""Measure how fast the page reacts: ``python -m tests.benchmarks.explorer [FOLDER]`` prints a table.

The results are those of 300 parameters, 5,000 steps and 20 runs: 240 MB for each of two variables. A reaction is the
time on the server from a change of the selection to the new figures, as of a process on one core; the browser comes
besides. `first` loads the numbers from disk.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from trajlab.explorer.arrays import Arrays
from trajlab.explorer.explore import collection_of
from trajlab.explorer.page import Page
from trajlab.explorer.serve import spare_collection
from trajlab.running.compute import write
from trajlab.schema import RESULT_VERSION

RUNS, STEPS, PARAMETERS = 20, 5_000, 300
CLICKS = 300


def results(folder: Path) -> Path:
    """Write a result of random walks, and return the folder."""
    rng = np.random.default_rng(0)
    names = [f"model.layers.{i // 9}.{'abcdefghi'[i % 9]}.weight" for i in range(PARAMETERS)]
    walks = np.abs(rng.standard_normal((RUNS, STEPS, PARAMETERS)).cumsum(1))
    dims = ("run", "step", "parameter")
    result = xr.Dataset(
        {"relative": (dims, walks, {"long_name": "relative distance"}), "l2": (dims, 2 * walks)},
        {"run": np.array([f"run-{i}" for i in range(RUNS)], object), "step": 10 * np.arange(STEPS),
         "parameter": np.array(names, object), "lr": ("run", np.geomspace(1e-4, 1, RUNS))},
        {"stage": "drift", "Conventions": RESULT_VERSION},
    )  # fmt: skip
    write({folder / "drift.zarr": result}, overwrite=True)
    return folder


def actions(page: Page) -> dict[str, Callable[[int], None]]:
    """Return what a visitor does, by name; the number makes each time different."""
    s = page.selection
    rows = page.context.names

    def view(name: str, **values: object) -> None:
        s.param.update(view=name, **values)

    return {
        "overview: step": lambda i: view("Overview", step=10 * (i * 37 % STEPS)),
        "overview: row": lambda i: view("Overview", row=rows[i * 7 % PARAMETERS]),
        "overview: brush": lambda i: view("Overview", window=(10 * (i % 100), 10 * (STEPS - 1 - i % 100))),
        "overview: all parameters": lambda i: view("Overview", mode=("all parameters", "roles")[i % 2]),
        "overview: run": lambda i: view("Overview", run=f"run-{i % RUNS}"),
        "overview: variable": lambda i: view("Overview", result="drift", variable=("relative", "l2")[i % 2]),
        "layer: row": lambda i: view("Layer", row=rows[i * 7 % PARAMETERS]),
        "layer: step": lambda i: view("Layer", step=10 * (i * 37 % STEPS)),
        "two moments: step": lambda i: view("Two moments", step=10 * (i * 37 % STEPS)),
        "runs: open": lambda i: view(("Overview", "Runs")[i % 2]),
    }


def main(folder: Path) -> None:
    """Print the reactions to each action, and the memory before and after many."""
    print("making data …", file=sys.stderr)
    if not (folder / "drift.zarr").exists():
        results(folder)
    start = time.process_time()
    collection = collection_of(folder)
    spare_collection()
    page = Page(collection, Arrays())
    print(f"{'first view':28} {1000 * (time.process_time() - start):7.0f} ms")
    print(f"{'action':28} {'first':>10} {'median':>10} {'largest':>10}")
    done = actions(page)
    for name, act in done.items():
        times = []
        for i in range(12):
            start = time.process_time()
            act(i)
            times.append(1000 * (time.process_time() - start))
            page.context.arrays.wait()
        later = sorted(times[1:])
        print(f"{name:28} {times[0]:7.0f} ms {later[len(later) // 2]:7.0f} ms {later[-1]:7.0f} ms", flush=True)
    for round_of_clicks in range(4):
        for i in range(CLICKS // 3):
            list(done.values())[i % len(done)](i)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory after {(round_of_clicks + 1) * CLICKS // 3} clicks: {peak:,.0f} MB", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
