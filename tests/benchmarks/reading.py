"""The weight stages beside a bare read of the same files: large tensors, and files that are not in memory."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks.measure import Peak, compute, warm

READ_BYTES = 1 << 22
"""Bytes of one read; twice as many are no faster."""


def files_of(folder: str) -> list[Path]:
    """Return the files of a folder of checkpoints, in order."""
    return sorted(Path(folder).rglob("*.safetensors"))


def _read(files: Sequence[Path]) -> int:
    buffer, total = memoryview(bytearray(READ_BYTES)), 0
    for path in files:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                total += count
    return total


def bare_read(folder: str) -> dict[str, float]:
    """Read all files from start to end on two threads."""
    files = files_of(folder)

    def both() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(_read, (files[::2], files[1::2])))

    return _timed(both) | {"bytes": sum(path.stat().st_size for path in files)}


def _timed(call: Callable[[], object]) -> dict[str, float]:
    wall, used = time.perf_counter(), time.process_time()
    call()
    return {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - used}


def large(folder: str) -> dict[str, float]:
    """Return the CPU time of a bare read and of the weight stages in one pass, and the peak memory of these."""
    compute(str(warm()))
    compute(folder)
    with Peak() as peak:
        stages = min((_timed(lambda: compute(folder)) for _ in range(3)), key=lambda times: times["cpu"])
    read = min((bare_read(folder) for _ in range(3)), key=lambda times: times["cpu"])
    return {"cpu": stages["cpu"], "peak_mb": peak.most, "read_cpu": read["cpu"], "bytes": read["bytes"]}


def cold(folder: str) -> dict[str, float]:
    """Return the wall time of a bare read and of the weight stages, each of files that are not in the page cache."""
    compute(str(warm()))
    times: dict[str, list[float]] = {"read": [], "stages": []}
    for _ in range(2):
        drop(folder)
        times["read"].append(bare_read(folder)["seconds"])
        drop(folder)
        times["stages"].append(_timed(lambda: compute(folder))["seconds"])
    again = bare_read(folder)
    return {name: min(each) for name, each in times.items()} | {"warm": again["seconds"], "bytes": again["bytes"]}


def drop(folder: str) -> None:
    """Write files to disk, and drop them from the page cache."""
    for path in files_of(folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
