"""A run as a command opens it."""

import numpy as np
from safetensors.numpy import save_file

from trajlab.running.open_run import open_run


def test_open_run__says_once_how_steps_were_read_and_what_was_left_aside(tmp_path, capsys):
    for value, name in enumerate(("epoch_1", "epoch_2", "final")):
        save_file({"fc.weight": np.full((2, 3), value, np.float32)}, tmp_path / f"{name}.safetensors")
    run = open_run(tmp_path, {})
    assert run.steps.tolist() == [1, 2]
    assert capsys.readouterr().err.splitlines() == [
        "trajlab: step = epoch in the name",
        "trajlab: final.safetensors left aside: it states no step",
    ]


def test_open_run__passes_the_options_of_reading_on(tmp_path, capsys):
    for value, name in enumerate(("a-10", "a-20")):
        save_file({"w": np.full(2, value, np.float32), "b": np.zeros(2, np.float32)}, tmp_path / f"{name}.safetensors")
    run = open_run(tmp_path, {"parameters": "^w$"})
    assert list(run.weights) == ["w"]
