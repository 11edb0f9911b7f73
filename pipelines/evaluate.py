"""How well a run went: its test loss and accuracy, and its training curve, for DVC's metrics and plots."""

import csv
import json
from pathlib import Path

import torch
from torch import nn

from pipelines.datasets.images import Split
from trajlab.schema import METRICS_FILE


@torch.no_grad()
def evaluate(model: nn.Module, split: Split, device: str = "cpu") -> tuple[float, float]:
    """Return mean loss and accuracy in evaluation mode."""
    model.eval()
    loss, correct = 0.0, 0
    for inputs, targets in zip(*(part.to(device).split(1000) for part in split), strict=True):
        logits = model(inputs)
        loss += nn.functional.cross_entropy(logits, targets, reduction="sum").item()
        correct += (logits.argmax(1) == targets).sum().item()
    return loss / len(split.targets), correct / len(split.targets)


def write_metrics(file: Path, loss: float, accuracy: float) -> None:
    """Write test loss and accuracy as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"test_accuracy": accuracy, "test_loss": loss}, indent=1) + "\n")


def write_curve(folder: Path, file: Path) -> None:
    """Write the recorded metrics of a run folder as CSV."""
    rows = [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["step", "epoch", "lr", "loss", "accuracy"])
        writer.writeheader()
        writer.writerows(rows)
