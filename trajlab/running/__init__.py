"""Running stages: their inputs and settings, stacking over runs, computing, and the commands."""
