"""One measurement a call, in a process of its own: ``python -m tests.benchmarks.cases NAME ARGUMENTS``, JSON out."""

import json
import os
import resource
import sys
import tempfile
from pathlib import Path

import dask

import trajlab
from tests.benchmarks.measure import WEIGHT_STAGES, Peak, compute, now, seconds, warm
from tests.benchmarks.reading import bare_read, cold, large
from trajlab.running.fuse import fuse_scans

__all__ = ["bare_read", "cold", "large"]  # measured elsewhere

REPLAY_STAGES = ("dead_neurons", "saturation", "features")
"""Stages that are measured together in one pass of a probe, as far as there are such."""

SAMPLES = 256


def speed(path: str) -> dict[str, float]:
    """Stages in one pass and alone, beside the plain sum and the loop in PyTorch, all in one run."""
    import torch

    from tests.benchmarks.baselines import lean_loop, mapped, numpy_sums, torch_loop

    torch.set_num_threads(2)
    rows = mapped(Path(path))
    actual = {"bytes": sum(view.nbytes for views in rows for view in views)}
    actual["numpy_sum"] = seconds(lambda: numpy_sums(rows))
    actual["numpy_afresh"] = seconds(lambda: numpy_sums(mapped(Path(path))))
    actual["together"] = seconds(lambda: compute(path))
    for name in WEIGHT_STAGES:
        actual[name] = seconds(lambda name=name: compute(path, (name,)))
    start = now()
    torch_loop(Path(path))
    actual["torch_loop"] = now() - start
    actual["drift_and_distribution"] = seconds(lambda: compute(path, ("drift", "distribution")))
    actual["lean_loop"] = seconds(lambda: lean_loop(Path(path)), repeats=1)
    actual["together_again"] = seconds(lambda: compute(path))
    return actual


def scan(path: str) -> dict[str, float]:
    """Time and peak memory above the imports of the weight stages in one pass."""
    compute(str(warm()))
    with Peak() as peak:
        results = compute(path)
    held = sum(result.nbytes for result in results) / 1e6
    return {"seconds": seconds(lambda: compute(path), repeats=3), "peak_mb": peak.most, "results_mb": held}


def opening(path: str) -> dict[str, float]:
    """Time to open a run lazily, all its arrays included."""

    def all_arrays() -> None:
        run = trajlab.open(path)
        for name in run.weights:
            run.weights[name]

    return {"seconds": seconds(all_arrays, repeats=3)}


def every_stage(path: str) -> dict[str, float]:
    """Time and tasks of all weight and gradient stages in one pass."""
    stages = (*WEIGHT_STAGES, "zero_gradients")
    run = trajlab.open(path)
    tasks = sum(len(trajlab.run(name, run).__dask_graph__()) for name in stages)
    return {"seconds": seconds(lambda: compute(path, stages), repeats=1), "tasks": tasks}


def limited(path: str) -> dict[str, float]:
    """Compute with a third of the data's size as memory."""
    compute(str(warm()))
    size = sum(life.values.size * 4 * len(life.steps) for life in trajlab.open(path).weights.series.values())
    limit = size // 3
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return {"seconds": seconds(lambda: compute(path), repeats=1), "limit_mb": limit / 1e6}


def packing(path: str) -> dict[str, float]:
    """Pack a run, and copy its files."""
    import shutil

    from trajlab.running.compute import computing

    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        os.sync()  # what was written before is not to be waited for
        start = now()
        shutil.copytree(path, Path(folder) / "copy")
        copied = now() - start
        os.sync()
        start = now()
        with computing("pack"):
            trajlab.pack(path, Path(folder) / "run.zarr")
        return {"copy": copied, "pack": now() - start}


def first_call(path: str) -> dict[str, float]:
    """Time of the first stage in a new process, compiled code on disk or not as the environment says."""
    start = now()
    compute(path, ("drift",))
    return {"seconds": now() - start}


def _replay(path: str, stages: tuple[str, ...], workers: int, samples: int = SAMPLES) -> tuple:
    from tests.benchmarks.data import cifar_images

    run, probe = trajlab.open(path), cifar_images(samples)
    model = "tests.benchmarks.data:cifar_network"
    results = [trajlab.run(name, run, model=model, probe=probe) for name in stages]
    with dask.config.set(array_optimize=fuse_scans, num_workers=workers):
        return dask.compute(*results)


def replayed(path: str, kind: str, workers: str) -> dict[str, float]:
    """Time and peak memory of stages that replay, forward or back, on so many dask workers."""
    from trajlab.stages import stage_names

    known = tuple(name for name in REPLAY_STAGES if name in stage_names())
    stages = ("channel_gradients",) if kind == "back" else known
    _replay(path, stages, int(workers), samples=2)
    with Peak() as peak:
        start = now()
        results = _replay(path, stages, int(workers))
        seconds = now() - start
    held = sum(result.nbytes for result in results) / 1e6
    return {"seconds": seconds, "peak_mb": peak.most, "results_mb": held, "stages": len(stages)}


def bare(path: str, kind: str, threads: str) -> dict[str, float]:
    """Time and peak memory of the plain loop in PyTorch on so many threads."""
    import torch

    from tests.benchmarks.baselines import bare_passes
    from tests.benchmarks.data import cifar_images

    torch.set_num_threads(int(threads))
    inputs, targets = cifar_images(SAMPLES)
    bare_passes(Path(path), inputs[:2], targets[:2], back=kind == "back")
    with Peak() as peak:
        start = now()
        bare_passes(Path(path), inputs, targets, back=kind == "back")
        seconds = now() - start
    return {"seconds": seconds, "peak_mb": peak.most}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
