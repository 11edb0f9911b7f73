"""A parent with another head: what both have is compared, the rest is named."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import trajlab
from trajlab.errors import MissingData


@pytest.fixture
def tuned(rng):
    body = rng.standard_normal((3, 4, 4)).astype(np.float32)
    return trajlab.from_arrays({"body.weight": body, "head.weight": np.ones((3, 10, 4), np.float32),
                                "adapter.weight": np.ones((3, 2, 4), np.float32)})  # fmt: skip


@pytest.mark.parametrize("form", ["folder", "file", "pth"])
def test_parent__one_checkpoint_with_another_head(tuned, tmp_path, form):
    pretrained = {
        "body.weight": np.full((4, 4), 0.5, np.float32), "head.weight": np.ones((1000, 4), np.float32),
        "pooler.weight": np.ones((4, 4), np.float32),
    }  # fmt: skip
    path = tmp_path / "base" / ("base.pth" if form == "pth" else "model.safetensors")
    path.parent.mkdir()
    if form == "pth":
        torch.save({name: torch.tensor(value) for name, value in pretrained.items()}, path)
    else:
        save_file(pretrained, path)
    parent = trajlab.open(path.parent if form == "folder" else path)
    for stage in ("drift", "distribution"):
        result = trajlab.run(stage, tuned, parent=parent, reference=-1).compute()
        assert result.parameter.values.tolist() == ["body.weight"]
        left_out = result.attrs["left_out"]
        assert "[10, 4], in the parent [1000, 4]" in left_out["head.weight"]
        assert left_out["adapter.weight"] == "the parent has no such tensor"
        assert left_out["pooler.weight of the parent"] == "the run has no such tensor"
    drift = trajlab.run("drift", tuned, parent=parent, reference=-1).compute()
    body = tuned.weights["body.weight"].values.astype(np.float64)
    np.testing.assert_allclose(drift.distance_l2[:, 0], np.sqrt(((body - 0.5) ** 2).sum((1, 2))), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("other.weight", "name a run of the same network"), ("q.lora_A.weight", "leave the parent out .* --on adapters")],
)
def test_parent__without_any_common_tensor_is_refused(tuned, name, remedy):
    with pytest.raises(MissingData, match=f"share no tensor.*; {remedy}"):
        trajlab.run("drift", trajlab.from_arrays({name: np.ones((1, 3))}), parent=tuned)


def test_frozen__no_gradient_is_recorded_and_no_rule_of_change_fires(tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    net(torch.randn(4, 6)).sum().backward()  # leaves gradients behind
    net[0].requires_grad_(False)
    optimizer = torch.optim.SGD(net[2].parameters(), lr=0.05)
    with trajlab.Recorder(net, tmp_path / "run", when=trajlab.every(2)) as recorder:
        for _ in range(8):
            optimizer.zero_grad()
            loss = net(torch.randn(16, 6)).square().mean()
            loss.backward()
            recorder.step(loss=loss)
            optimizer.step()
    run = trajlab.open(tmp_path / "run")
    assert list(run.gradients) == ["2.weight", "2.bias"]
    fires = trajlab.run("alerts", run).compute()
    fired = [str(check) for check in fires.check.values[(fires.fires == 1).any("step").values]]
    assert not [check for check in fired if "0.weight" in check or "0.bias" in check]
    assert "UnchangedTensor 2.weight" in fires.check
