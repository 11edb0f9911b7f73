"""Readers of checkpoint formats, one file a format."""
