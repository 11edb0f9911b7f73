"""Snapshots through the network again: replay, hooks, probes, alignment."""
