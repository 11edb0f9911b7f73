import io

import numpy as np
import pytest
from rich.console import Console

import trajlab
from trajlab.running.show_inventory import show_inventory
from trajlab.runs.inventory import inventory


def shown(*, tensors=True, width=80, terminal=False):
    run = trajlab.from_arrays({"[red]": np.zeros((2, 3)), "a" * 100 + ".weight": np.zeros((2, 4, 3), np.float32)})
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, soft_wrap=True, no_color=True)
    show_inventory(inventory(run), console, tensors=tensors)
    return out.getvalue()


def test_show_inventory__in_a_pipe_cuts_no_name():
    (row,) = [line for line in shown().splitlines() if "aaa" in line]
    assert "a" * 100 + ".weight" in row and "4 × 3" in row and row.split()[-2:] == ["2", "0"]


def test_show_inventory__takes_no_name_for_markup():
    assert "[red]" in shown()


@pytest.mark.parametrize("terminal", [False, True])
def test_show_inventory__without_tensors_has_facts_and_notes_only(terminal):
    text = shown(tensors=False, terminal=terminal)
    assert "aaa" not in text and "note" in text and "2 tensors" in text
