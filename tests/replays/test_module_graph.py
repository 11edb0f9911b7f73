"""The graph of a network against what its forward pass says."""

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from tests.replays.test_observe import Residual, Tokens, trained
from trajlab.cli import app
from trajlab.errors import BadSetting, MissingData
from trajlab.figures.network import save_network
from trajlab.replays.module_graph import module_graph


def described(build, probe):
    """Name, and the names of what feeds it, of each node."""
    _, run = trained(build, steps=1)
    nodes = module_graph(run, model=build, probe=probe)
    return [(node.name, [nodes[source].name for source in node.sources]) for node in nodes], nodes


def test_wiring__a_residual_network_that_works_in_place():
    actual, nodes = described(Residual, torch.zeros(2, 2, 5, 5))
    assert actual == [
        ("input", []), ("conv1", ["input"]), ("norm", ["conv1"]), ("relu", ["norm"]), ("conv2", ["relu"]),
        ("add", ["conv2", "relu"]), ("relu:1", ["add"]), ("split", ["relu:1"]), ("sub", ["split"]), ("mean", ["sub"]),
        ("fc", ["mean"]), ("output", ["fc"]),
    ]  # fmt: skip
    assert [node.parameters for node in nodes if node.name in ("conv1", "norm", "fc")] == [76, 8, 15]
    assert nodes[1].shape == (4, 5, 5) and nodes[1].module_class == "Conv2d" and nodes[-1].shape == (3,)


def test_wiring__what_is_made_of_tokens_comes_from_the_input():
    actual, _ = described(Tokens, torch.zeros(2, 4).long())
    sources = dict(actual)
    assert sources["embedding"] == ["input"]
    assert sources["head"] == ["mean"] and sources["mean"] == ["encoder.norm2"]
    assert sources["encoder.linear2"] == ["encoder.dropout"] or sources["encoder.linear2"] == ["relu"]


def test_wiring__modules_that_give_what_they_get_are_on_the_way():
    actual, _ = described(lambda: nn.Sequential(nn.Linear(3, 2), nn.Dropout(), nn.Identity()), torch.zeros(2, 3))
    assert actual == [("input", []), ("0", ["input"]), ("1", ["0"]), ("2", ["1"]), ("output", ["2"])]


def test_wiring__thousands_of_functions_in_a_row():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            actual = self.fc(x)
            for _ in range(1500):
                actual = torch.tanh(actual) + x
            return actual

    actual_result, nodes = described(Deep, torch.zeros(2, 3))
    assert len(actual_result) == 3 + 2 * 1500
    assert actual_result[2:4] == [("tanh", ["fc"]), ("add", ["tanh", "input"])] and nodes[-1].sources == [
        len(nodes) - 2
    ]


def test_save_network__says_what_it_lacks(tmp_path):
    _, run = trained(Residual, steps=1)
    with pytest.raises(MissingData, match="probe="):
        save_network(run.with_model(Residual), tmp_path / "a.svg")
    with pytest.raises(BadSetting, match=r"Residual.*\[3, 4\]"):
        module_graph(run, model=Residual, probe=torch.zeros(2, 4))
    with pytest.raises(BadSetting, match=r"a.txt.* svg"):
        save_network(run.with_model(Residual), tmp_path / "a.txt")


def test_network__on_the_command_line(tmp_path, checkpoints):
    _, run = trained(Residual, steps=2)
    arrays = {name: array.values for group in (run.weights, run.buffers) for name, array in group.items()}
    del arrays["norm.num_batches_tracked"]
    folder = checkpoints(arrays)
    torch.save(torch.zeros(2, 2, 5, 5), tmp_path / "probe.pt")
    model = ["--model", "tests.replays.test_observe:Residual", "--probe", str(tmp_path / "probe.pt")]
    done = CliRunner().invoke(app, ["network", str(folder), str(tmp_path / "net.svg"), *model])
    assert done.exit_code == 0, done.output
    picture = (tmp_path / "net.svg").read_text()
    assert all(f">{name}<" in picture for name in ("input", "conv1", "add", "BatchNorm2d", "parameters", "76"))


def test_module_graph__counts_multiply_adds_and_parameters_of_one_sample():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4 * 25, 7)
            self.extra = nn.Parameter(torch.ones(7, 5))

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).flatten(1)) @ self.extra

    _, nodes = described(Net, torch.zeros(2, 2, 5, 5))
    counts = {node.name: node.multiply_adds for node in nodes if node.multiply_adds}
    assert counts == {"conv": 25 * 4 * 2 * 9, "fc": 100 * 7, "output": 7 * 5}
