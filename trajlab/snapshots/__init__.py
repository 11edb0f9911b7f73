"""Readers of snapshots on disk, ours or anybody's."""
