"""Measure the engine against its goals: ``python -m tests.benchmarks [FOLDER]`` prints the table of the documentation.

The folder gets some 10 GB of data, or less with fewer ``--snapshots``; a temporary one by default. Machines differ and
are noisy: read the ratios, on a busy machine those of ``--clock cpu``.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import torch

import trajlab
from tests.benchmarks import data, replay
from tests.benchmarks.apart import case, table
from tests.benchmarks.measure import CLOCK, CLOCKS

SNAPSHOTS = 60
"""Snapshots of ResNet-18 that the table of the documentation is measured on; other data grow and shrink with them."""


def main(folder: Path, snapshots: int = SNAPSHOTS) -> None:
    """Measure everything and print a table."""
    print("making data …", file=sys.stderr)
    resnet = data.resnet18(folder / "resnet18", snapshots)
    longer = data.repeated(folder / "longer", resnet, 10 * snapshots)
    longest = data.repeated(folder / "longest", resnet, 1000)
    packed = trajlab.pack(resnet, folder / "resnet18.zarr")
    steps = 5000 * snapshots // SNAPSHOTS
    small = data.small_net(folder / "small.zarr", steps)
    tiny = trajlab.pack(trajlab.example(), folder / "tiny.zarr")
    millions = max(1, 50 * snapshots // SNAPSHOTS)
    coarse = data.embedding(folder / "bf16", torch.bfloat16, 2 * millions << 20)
    fine = data.embedding(folder / "float32", torch.float32, millions << 20)

    print("measuring …", file=sys.stderr)
    speed = case("speed", resnet)
    alone = max(speed[name] for name in ("drift", "distribution", "sign_flips"))
    together = min(speed["together"], speed["together_again"])
    once, ten_times, from_store = case("scan", resnet), case("scan", longer), case("scan", packed)
    every, opened = case("every_stage", small), case("opening", longest)
    limited = case("limited", resnet, ARROW_DEFAULT_MEMORY_POOL="system")  # pandas loads Arrow, which reserves 1 GiB
    copied = case("packing", resnet)
    bf16, float32 = case("large", coarse), case("large", fine)
    cold = case("cold", resnet)
    with tempfile.TemporaryDirectory() as cache:
        compiling = case("first_call", tiny, NUMBA_CACHE_DIR=cache)
        cached = case("first_call", tiny, NUMBA_CACHE_DIR=cache)

    numpy_sum = speed["numpy_sum"]
    rates = [speed["bytes"] / seconds / 1e9 for seconds in (together, numpy_sum)]
    afresh = speed["bytes"] / speed["numpy_afresh"] / 1e9
    peaks = [f"{case['peak_mb']:.0f} MB, {case['results_mb']:.0f} of them results" for case in (once, ten_times)]
    tasks, limit = f"{every['tasks']:.0f} tasks", f"{limited['limit_mb']:.0f} MB"
    share = f"{numpy_sum / together:.0%} ({rates[0]:.1f} of {rates[1]:.0f} GB/s; numpy mapping anew: {afresh:.0f})"
    compile_times = f"{compiling['seconds']:.1f} s / {cached['seconds']:.1f} s"
    lean = f"{speed['lean_loop'] / speed['drift_and_distribution']:.1f} ×"
    large = f"{bf16['peak_mb']:.0f} MB; {float32['peak_mb']:.0f} MB"
    reads = f"{bf16['cpu'] / bf16['read_cpu']:.1f} ×; {float32['cpu'] / float32['read_cpu']:.1f} ×"
    per_byte = f"{float32['cpu'] / float32['bytes'] / (bf16['cpu'] / bf16['bytes']):.0%}"
    cold_rates = [cold["bytes"] / cold[name] / 1e9 for name in ("stages", "read", "warm")]
    from_disk = "{:.0%} ({:.1f} of {:.1f} GB/s; read again from memory: {:.1f})"
    from_disk = from_disk.format(cold["read"] / cold["stages"], *cold_rates)
    rows = [
        ("three weight stages in one pass, a loop in PyTorch", "≥ 25 ×", f"{speed['torch_loop'] / together:.0f} ×"),
        ("drift and distribution in one pass, a lean float32 loop in PyTorch", "≥ 10 ×", lean),
        ("the speed of the three as a share of numpy's sum of the mapped bytes", "≥ 20 %", share),
        ("three stages in one pass, the slowest alone", "≤ 1.5 ×", f"{together / alone:.2f} ×"),
        ("peak memory above the imports", "< 400 MB", peaks[0]),
        ("the same at 10 × the steps", "the same", peaks[1]),
        ("time at 10 × the steps", "≤ 10.5 ×", f"{ten_times['seconds'] / once['seconds']:.1f} ×"),
        (f"100,000 parameters × {steps:,} steps, all stages", "≤ 10 s", f"{every['seconds']:.1f} s, {tasks}"),
        (f"one tensor of {2 * millions} M bf16 or {millions} M float32 × 3: peak memory", "< 500 MB", large),
        ("CPU time of the three stages on it, of a bare read", "—", reads),
        ("bytes per CPU second in bf16, in float32", "the same", per_byte),
        ("files that are not in memory, a bare read of them on two threads", "≥ 80 %", from_disk),
        ("from a packed store, from the folder", "≤ 1.3 ×", f"{from_store['seconds'] / once['seconds']:.2f} ×"),
        ("opening 1,000 snapshots", "≤ 1 s", f"{opened['seconds']:.2f} s"),
        ("data three times larger than memory", "finishes", f"{limited['seconds']:.1f} s in {limit}"),
        ("pack, copying the files", "≥ 50 %", f"{copied['copy'] / copied['pack']:.0%}"),
        ("first drift in a new process: compiling, compiled", "—", compile_times),
    ]
    table(rows)
    print(
        json.dumps(
            {
                "speed": speed,
                "scan": once,
                "longer": ten_times,
                "store": from_store,
                "bf16": bf16,
                "float32": float32,
                "cold": cold,
            }
        ),
        file=sys.stderr,
    )
    replay.main(folder / "replay", max(2, replay.SNAPSHOTS * snapshots // SNAPSHOTS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="folder for the data; by default a temporary one")
    parser.add_argument("--snapshots", type=int, default=SNAPSHOTS, help="snapshots of ResNet-18 (%(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="clock of all times (%(default)s)")
    options = parser.parse_args()
    os.environ[CLOCK] = options.clock
    if options.folder:
        main(options.folder, options.snapshots)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary), options.snapshots)
