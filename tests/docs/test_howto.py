"""The code of the how-to pages that is not run while the documentation is built."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import trajlab

HOWTO = Path(__file__).parent.parent.parent / "docs" / "howto"


def blocks(page):
    """Return the Python code of a page."""
    return re.findall(r"^```python\n(.*?)```$", (HOWTO / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def files(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(HOWTO / "files")
    monkeypatch.chdir(tmp_path)


def test_own_observer__keeps_the_largest_activations():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(64, 8)
    with trajlab.Recorder(model, "runs/first", probe=inputs) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            recorder.step(loss=loss)
            optimizer.step()
    (code,) = blocks("own_observer.md")
    names: dict = {"__name__": "howto"}
    exec(code, names)

    replayed, peaks = names["replayed"], names["peaks"]
    assert dict(replayed["1"].sizes) == {"step": 4, "sample": 64, "unit": 16}
    assert set(peaks) == {"1", "2"}
    for step in names["run"].steps:
        net = names["build"]()
        net.load_state_dict(names["run"].at(int(step)))
        with torch.no_grad():
            hidden, output = net[:2](inputs), net(inputs)
        np.testing.assert_allclose(peaks["1"].sel(step=step), hidden.amax(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(peaks["2"].sel(step=step), output.amax(0), rtol=1e-5, atol=1e-6)


def test_own_reader__reads_text(tmp_path):
    for step in (10, 20):
        folder = tmp_path / "checkpoints"
        folder.mkdir(exist_ok=True)
        (folder / f"step_{step}.weights.txt").write_text(f"layer.weight 2 2\n1 2 3 {step}\nlayer.bias 1\n0.5\n")
    (code,) = blocks("own_reader.md")
    names: dict = {}
    exec(code, names)

    run = names["run"]
    assert run.steps.tolist() == [10, 20] and list(run.weights) == ["layer.weight", "layer.bias"]
    np.testing.assert_array_equal(run.weights["layer.weight"].values, [[[1, 2], [3, 10]], [[1, 2], [3, 20]]])


@pytest.mark.parametrize("page", ["export.md", "paper_figures.md", "own_stage.md"])
def test_code_runs(page, tmp_path):
    names: dict = {}
    for code in blocks(page):
        exec(code, names)
    if page == "export.md":
        assert (tmp_path / "relative.csv").stat().st_size and (tmp_path / "total.csv").stat().st_size
    if page == "paper_figures.md":
        assert {path.name for path in tmp_path.iterdir()} == {"drift.pdf", "distribution.pdf"}
