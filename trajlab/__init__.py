"""Offline analysis of neural-network training trajectories."""
