"""Reductions of layer outputs while a batch passes: one observer a file."""
