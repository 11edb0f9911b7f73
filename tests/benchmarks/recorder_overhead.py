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


def resnet_18():
    """ResNet-18 for ten classes: 62 parameters of 11 million entries."""
    from torchvision.models import resnet18

    return resnet18(num_classes=10)


NETS = {"small": (small_cnn, (64, 1, 28, 28)), "resnet18": (resnet_18, (16, 3, 64, 64))}
"""Functions that build the networks, and the shapes of a batch."""


def measure(settings, *, net="small", blocks, steps):
    """Return the times of a bare and a recorded step, medians over the blocks, and median and quartiles of the ratios.

    Each is wall time and CPU time of the process; the latter holds on a busy machine, too.
    """
    torch.manual_seed(0)
    build, shape = NETS[net]
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    inputs, targets = torch.randn(shape), torch.randint(0, 10, shape[:1])

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
        ratios = [with_it / without - 1 for without, with_it in times]
        table.append((bare, recorded, statistics.median(ratios), statistics.quantiles(ratios)))
    return table


def main():
    """Print a table of the settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", choices=list(NETS), default="small")
    parser.add_argument("--setting", choices=list(SETTINGS), help="one of the settings; by default all")
    parser.add_argument("--blocks", type=int, default=20, help="pairs of blocks")
    parser.add_argument("--steps", type=int, default=50, help="steps a block")
    arguments = parser.parse_args()
    print(f"{'setting':46} {'clock':5} {'bare ms':>8} {'recorded ms':>12} {'overhead':>9} {'quartiles':>17}")
    chosen = SETTINGS if arguments.setting is None else {arguments.setting: SETTINGS[arguments.setting]}
    for name, settings in chosen.items():
        table = measure(settings, net=arguments.net, blocks=arguments.blocks, steps=arguments.steps)
        for clock, (bare, recorded, overhead, quarters) in zip(("wall", "CPU"), table, strict=True):
            between = f"{quarters[0]:.1%} to {quarters[-1]:.1%}"
            row = f"{name:46} {clock:5} {bare * 1e3:8.2f} {recorded * 1e3:12.2f} {overhead:9.1%} {between:>17}"
            print(row, flush=True)


if __name__ == "__main__":
    main()
