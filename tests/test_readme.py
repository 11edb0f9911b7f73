"""The code of the README that records a run and replays it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(title):
    """Give the Python code of a section."""
    section = README.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```\n", section, re.DOTALL)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """What the first code of the README leaves behind; gives its names."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(blocks("Record a run of your own")[0], names)
    return names


def test_readme__replays_snapshots_with_an_observer(recorded):
    names: dict = {"__name__": "readme"}
    (code,) = blocks("Replay snapshots")
    exec(code, names)

    replayed, peaks, probe = names["replayed"], names["peaks"], recorded["inputs"][:64]
    assert dict(replayed["1"].sizes) == {"step": len(names["run"].steps), "sample": 64, "unit": 16}
    for step in names["run"].steps:
        net = names["build"]()
        net.load_state_dict(names["run"].at(int(step)))
        with torch.no_grad():
            hidden, output = net[:2](probe), net(probe)
        np.testing.assert_allclose(peaks["1"].sel(step=step), hidden.amax(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(peaks["2"].sel(step=step), output.amax(0), rtol=1e-5, atol=1e-6)
    assert set(peaks) == {"1", "2"}
