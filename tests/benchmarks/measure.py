"""Time and memory of a call, and the pass whose cost is measured."""

import os
import resource
import tempfile
import threading
import time
from pathlib import Path

import dask

import trajlab
from trajlab.running.fuse import fuse_scans

WEIGHT_STAGES = ("drift", "distribution", "sign_flips")

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""Clocks: of the wall, and the CPU time of all threads of a process, which other work on the machine hardly changes."""

CLOCK = "TRAJLAB_BENCHMARK_CLOCK"
"""Environment variable that names the clock."""


def now() -> float:
    """Return the time of the chosen clock in seconds."""
    return CLOCKS[os.environ.get(CLOCK, "wall")]()


def seconds(call, repeats: int = 3) -> float:
    """Least time of several calls, after one that is not counted: compiled code loaded, files in the page cache."""
    call()
    times = []
    for _ in range(repeats):
        start = now()
        call()
        times.append(now() - start)
    return min(times)


def compute(path: str, stages: tuple[str, ...] = WEIGHT_STAGES) -> tuple:
    run = trajlab.open(path)
    results = [trajlab.run(name, run) for name in stages]
    with dask.config.set(array_optimize=fuse_scans, num_workers=2):
        return dask.compute(*results)


class Peak(threading.Thread):
    """Watches the resident memory of this process, mapped files included, while a block runs; in MB above before."""

    def __enter__(self) -> "Peak":
        self.before, self.most, self.over = self._resident(), 0.0, threading.Event()
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.join()

    def run(self) -> None:
        while not self.over.wait(0.002):
            self.most = max(self.most, self._resident() - self.before)

    @staticmethod
    def _resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def warm() -> Path:
    """Make a tiny run, to load all compiled code."""
    return trajlab.pack(trajlab.example(), Path(tempfile.mkdtemp()) / "warm.zarr")
