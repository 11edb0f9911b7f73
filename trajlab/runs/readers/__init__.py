"""Readers of what lies on disk: packed stores, folders of checkpoints and of gradients, and file formats."""
