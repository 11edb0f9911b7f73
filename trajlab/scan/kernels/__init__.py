"""Compiled one-pass reductions over blocks of steps."""
