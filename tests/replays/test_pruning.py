import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

import trajlab
from trajlab.cli import app
from trajlab.errors import BadSetting, MissingData
from trajlab.replays.probe_batches import as_probe
from trajlab.replays.pruning import mask_of, prune


class Net(nn.Module):
    """A hidden layer behind a normalization; units 1 and 3 are dead, one of them by the normalization alone."""

    def __init__(self):
        super().__init__()
        self.fc1, self.norm, self.relu, self.fc2 = nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.bias.copy_(torch.tensor([0.5, -50.0, 0.5, -60.0, 0.5]))

    def forward(self, x):
        return self.fc2(self.relu(self.norm(self.fc1(x))))


def build():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def run(rng):
    net, inputs = build(), torch.tensor(rng.normal(size=(20, 4)), dtype=torch.float32)
    state = {name: value.detach().numpy()[None].repeat(2, 0) for name, value in net.state_dict().items()}
    names = [name for name, _ in net.named_parameters()]
    buffers = {name: values for name, values in state.items() if name not in names}
    recorded = trajlab.from_arrays({name: state[name] for name in names}, buffers=buffers, steps=[0, 10])
    return recorded.with_model(build, probe=as_probe((inputs, torch.arange(20) % 3)))


def test_prune__by_size_zeroes_small_weights_of_the_layers_that_are_named(run):
    pruned = prune(run, threshold=0.2, relative=0.5, layers=["fc1"])
    weight = run.weights["fc1.weight"].values[-1]
    kept = (abs(weight) >= 0.2) & (abs(weight) >= 0.5 * np.sqrt((weight.astype(float) ** 2).mean()))
    assert 0 < kept.sum() < kept.size and pruned.steps.tolist() == [10]
    np.testing.assert_array_equal(pruned.weights["fc1.weight"].values[0], np.where(kept, weight, 0))
    for name in set(run.weights) - {"fc1.weight"}:
        np.testing.assert_array_equal(pruned.weights[name].values[0], run.weights[name].values[-1])
    mask = mask_of(run, pruned)
    np.testing.assert_array_equal(mask["fc1.weight"], kept)
    assert pruned.facts["pruned"]["zeroed"]["fc1.weight"] == (~kept).sum() and mask["fc1.bias"].all()


def test_prune__is_what_evaluation_prunes(run):
    result = trajlab.run("evaluation", run, prune_relative=[0.5], prune_layers=["fc1"]).compute().isel(step=-1)
    pruned = trajlab.run("evaluation", prune(run, relative=0.5, layers=["fc1"])).compute().isel(step=0)
    assert result.pruned_loss.item() == pruned.loss.item() != result.loss.item()
    everything = trajlab.run("evaluation", run, prune_relative=[0.5]).compute().isel(step=-1)
    assert everything.pruned_loss.item() != result.pruned_loss.item()
    with pytest.raises(BadSetting, match="prune 'conv': the parameters are fc1.weight"):
        trajlab.run("evaluation", run, prune_relative=[0.5], prune_layers=["conv"])


def test_prune__removes_dead_units_and_leaves_the_outputs_as_they_are(run):
    pruned = prune(run, dead=True)
    assert pruned.facts["pruned"]["removed"] == {"relu": [1, 3]}
    for name in ("fc1.weight", "fc1.bias", "norm.weight", "norm.bias"):
        values = pruned.weights[name].values[0]
        assert (values[[1, 3]] == 0).all() and (values[[0, 2, 4]] == run.weights[name].values[-1][[0, 2, 4]]).all()
    assert pruned.facts["pruned"]["output_change"] == 0.0
    assert prune(run, threshold=9.0).facts["pruned"]["output_change"] > 0.1


def test_prune__says_what_is_wrong(run):
    with pytest.raises(BadSetting, match="no threshold is above 0"):
        prune(run)
    with pytest.raises(BadSetting, match="prune 'conv': the parameters are fc1.weight"):
        prune(run, threshold=1.0, layers=["conv"])
    bare = trajlab.from_arrays({"w": np.ones((1, 2, 2))})
    with pytest.raises(MissingData, match="no probe or names no model"):
        prune(bare, dead=True)
    assert np.isnan(prune(bare, threshold=2.0).facts["pruned"]["output_change"])


def test_prune__the_command_writes_a_checkpoint_and_its_mask(run, tmp_path):
    trajlab.pack(run, tmp_path / "run.zarr")
    done = CliRunner().invoke(app, ["prune", str(tmp_path / "run.zarr"), str(tmp_path / "out"), "--threshold", "0.2"])
    assert done.exit_code == 0, done.output
    pruned = prune(run, threshold=0.2)
    assert done.stdout.startswith(f"step 10: set {sum(pruned.facts['pruned']['zeroed'].values())} entries of ")
    written, mask = trajlab.open(tmp_path / "out"), load_file(tmp_path / "out" / "mask.safetensors")
    for name, values in pruned.weights.items():
        np.testing.assert_array_equal(written.weights[name].values, values)
        np.testing.assert_array_equal(mask[name], mask_of(run, pruned)[name])
    assert set(written.buffers) == set(run.buffers) and not written.left_aside
    np.testing.assert_array_equal(written.probe.inputs, run.probe.inputs)
