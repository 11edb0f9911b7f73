"""Measure replays against their goals: ``python -m tests.benchmarks.replay [FOLDER]`` prints their part of the table.

Snapshots of ResNet-18 on 256 images of 32×32; the loops that they are held against are plain PyTorch, the whole batch
at once on both cores. It takes some 5 minutes on two cores.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.apart import case, table

SNAPSHOTS = 10

FEW = 2
"""Snapshots on which settings of threads are compared."""


def main(folder: Path, snapshots: int = SNAPSHOTS) -> None:
    """Measure everything and print a table."""
    print("measuring replays …", file=sys.stderr)
    walk, few = data.cifar_walk(folder / "walk", snapshots), data.cifar_walk(folder / "few", FEW)
    actual, threads = {}, {}
    for kind in ("forward", "back"):
        for name in ("bare", "replayed"):
            actual[f"{name} {kind}"] = case(name, walk, kind, 2)
            print(name, kind, actual[f"{name} {kind}"], file=sys.stderr, flush=True)
    for name, kind in (("bare", "forward"), ("replayed", "forward"), ("replayed", "back")):
        for count in (1, 2):
            threads[f"{name} {kind} {count}"] = case(name, few, kind, count)["seconds"] / FEW

    def times(kind: str) -> str:
        ours, theirs = actual[f"replayed {kind}"]["seconds"], actual[f"bare {kind}"]["seconds"]
        return f"{ours / theirs:.2f} × ({ours:.0f} s, {theirs:.0f} s)"

    def peaks(kind: str) -> str:
        ours, theirs = actual[f"replayed {kind}"]["peak_mb"], actual[f"bare {kind}"]["peak_mb"]
        return f"{ours / theirs:.2f} × ({ours:.0f} MB, {theirs:.0f} MB)"

    def each(what: str) -> str:
        return f"{threads[f'{what} 1']:.1f} s, {threads[f'{what} 2']:.1f} s"

    count = int(actual["replayed forward"]["stages"])
    stages = "`dead_neurons`" if count == 1 else f"{count} stages in one pass"
    table(
        [
            (f"{stages}, {snapshots} bare forward passes", "≤ 1.5 ×", times("forward")),
            (f"`channel_gradients`, {snapshots} bare passes forward and back", "≤ 3 ×", times("back")),
            ("peak memory of the former, of the bare loop", "≤ 2 ×", peaks("forward")),
            ("peak memory of the latter, of the bare loop", "≤ 2 ×", peaks("back")),
            ("a bare forward pass, PyTorch on 1 thread, on 2", "—", each("bare forward")),
            (f"{stages}, a snapshot, 1 Dask worker, 2", "—", each("replayed forward")),
            ("`channel_gradients`, a snapshot, 1 Dask worker, 2", "—", each("replayed back")),
        ]
    )
    print(json.dumps({"replay": actual, "threads": threads}), file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place))
