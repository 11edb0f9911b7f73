"""Names that metrics usually have."""

LOSSES = ("loss", "train_loss", "training_loss", "loss/train", "train/loss")
VALIDATION_LOSSES = ("validation_loss", "val_loss", "valid_loss", "eval_loss", "test_loss", "loss/val", "val/loss")
"""Names that metrics have."""


def metric_name(asked: str, known: list[str], usual: tuple[str, ...]) -> str:
    """Give the metric that was asked for, or the first of the usual ones; empty if there is none."""
    return next((name for name in ([asked] if asked else usual) if name in known), "")
