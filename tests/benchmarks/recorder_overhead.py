"""How much a Recorder slows training down: blocks of bare and recorded steps of one loop, in turn.

Run it with ``python tests/benchmarks/recorder_overhead.py``; importing it runs nothing.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from trajlab.record import Recorder, every

SETTINGS = {
    "4,096 entries every step, weights every 10": {"gradients": 4096, "when": every(10)},
    "all entries every step, weights every 10": {"gradients": True, "when": every(10)},
    "4,096 entries every step, weights every step": {"gradients": 4096, "when": every(1)},
    "no gradients, weights every 10": {"gradients": False, "when": every(10)},
}


def small_cnn():
    """Three convolutions and a linear layer, on images of 28 by 28."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 3 * 3, 10)),
    )


def measure(settings, *, blocks, steps, batch=64):
    """Return the times of a bare and a recorded step, medians over the blocks, and the medians of the blocks' ratios.

    Each is wall time and CPU time of the process; the latter holds on a busy machine, too.
    """
    torch.manual_seed(0)
    model = small_cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    inputs, targets = torch.randn(batch, 1, 28, 28), torch.randint(0, 10, (batch,))

    def block(recorder):
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            value = loss.item()
            if recorder is not None:
                recorder.step(loss=value)
            optimizer.step()
        return (time.perf_counter() - start) / steps, (time.process_time() - cpu) / steps

    with tempfile.TemporaryDirectory() as folder, Recorder(model, Path(folder) / "run", **settings) as recorder:
        block(None), block(recorder)
        pairs = []
        for turn in range(blocks):
            order = [None, recorder] if turn % 2 else [recorder, None]
            times = {used is not None: block(used) for used in order}
            pairs.append((times[False], times[True]))
    table = []
    for clock in range(2):
        times = [(without[clock], with_it[clock]) for without, with_it in pairs]
        bare, recorded = (statistics.median(column) for column in zip(*times, strict=True))
        table.append((bare, recorded, statistics.median(with_it / without for without, with_it in times) - 1))
    return table


def main():
    """Print a table of the settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=20, help="pairs of blocks")
    parser.add_argument("--steps", type=int, default=50, help="steps a block")
    arguments = parser.parse_args()
    print(f"{'setting':46} {'clock':5} {'bare ms':>8} {'recorded ms':>12} {'overhead':>9}")
    for name, settings in SETTINGS.items():
        table = measure(settings, blocks=arguments.blocks, steps=arguments.steps)
        for clock, (bare, recorded, overhead) in zip(("wall", "CPU"), table, strict=True):
            print(f"{name:46} {clock:5} {bare * 1e3:8.2f} {recorded * 1e3:12.2f} {overhead:9.1%}", flush=True)


if __name__ == "__main__":
    main()
