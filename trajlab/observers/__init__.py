"""Observers: what is kept of the outputs of layers, each in a file of its own."""
