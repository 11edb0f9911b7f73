"""How stages meet runs: inputs, settings, stacking, computing, the commands."""
