"""Runs on disk and in memory: reading, importing and packing them."""
