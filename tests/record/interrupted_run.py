"""A training run that saves its own state now and then, to be killed and started again.

Arguments: folder of the run, file of the training state, number of steps.
"""

import os
import sys
import time
from pathlib import Path

import torch
from torch import nn

from trajlab.record import Recorder, every


def train(directory, state_file, steps):
    """Train to `steps`, going on from the saved state if there is one."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    begin = 0
    if state_file.exists():
        state = torch.load(state_file)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        begin = state["step"]
    with Recorder(
        model,
        directory,
        when=every(3),
        gradients=30,
        segment_rows=7,
        probe=torch.ones(2, 1, 8, 8),
        describe={"lr": 0.01},
        resume=begin,
    ) as recorder:
        print("begin", begin, flush=True)
        for step in range(begin, steps):
            torch.manual_seed(step)
            optimizer.zero_grad()
            loss = model(torch.randn(8, 1, 8, 8)).square().mean()
            loss.backward()
            recorder.step(loss=loss, twice=2 * step)
            optimizer.step()
            if (step + 1) % 10 == 0:
                recorder.flush()
                temporary = state_file.with_suffix(".tmp")
                content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
                torch.save(content, temporary)
                os.replace(temporary, state_file)
            time.sleep(0.002)


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
