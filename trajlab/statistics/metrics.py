"""Usual names of the training and the validation loss."""

LOSSES = ("loss", "train_loss", "training_loss", "loss/train", "train/loss")
VALIDATION_LOSSES = ("validation_loss", "val_loss", "valid_loss", "eval_loss", "test_loss", "loss/val", "val/loss")
"""Names under which training scripts log them."""


def metric_name(requested: str, names: list[str], usual: tuple[str, ...]) -> str:
    """Return the requested metric, or the first usual one; empty if the run has neither."""
    return next((name for name in ([requested] if requested else usual) if name in names), "")
