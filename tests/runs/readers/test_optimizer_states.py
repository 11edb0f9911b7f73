"""Optimizer states as Trainer, Lightning, accelerate, torch.distributed.checkpoint and plain loops write them."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from tests.distributed_checkpoints import save_alone
from tests.torch_positions import SAYS_POSITIONS
from trajlab.errors import DamagedData
from trajlab.runs.disk.rows import Rows


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


def two_groups(model):
    """Return the groups of a Trainer: biases and norms do not decay."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    rest = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    return [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]


def train(model, optimizer, steps, keep):
    """Train, call `keep` with each step, and return moments by step, entry and name."""
    states = {}
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
        keep(step)
        states[step] = {
            (entry, name): value.clone().numpy()
            for name, parameter in model.named_parameters()
            for entry, value in optimizer.state[parameter].items()
            if torch.is_tensor(value) and entry != "step"
        }
    return states


def check(run, states):
    assert run.optimizer.left_out == {}
    moments = run.optimizer.moments
    assert {(entry, name) for entry, of in moments.items() for name in of} == set(next(iter(states.values())))
    for step, expected in states.items():
        for (entry, name), value in expected.items():
            np.testing.assert_array_equal(moments[entry][name].sel(step=step).values, value)
    updates = run.optimizer.hyperparameters.updates
    np.testing.assert_array_equal(updates, np.broadcast_to(updates.step.values[:, None], updates.shape))


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("one_group", [True, False])
def test_plain_files(tmp_path, kind, one_group):
    model = network()
    settings = {"lr": 0.1} | ({"momentum": 0.9} if kind is torch.optim.SGD else {"betas": (0.8, 0.9)})
    optimizer = kind(model.parameters() if one_group else two_groups(model), **settings)

    def keep(step):
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / f"step{step}.pt")

    states = train(model, optimizer, 3, keep)
    run = trajlab.open(tmp_path)
    if kind is torch.optim.SGD:
        assert list(run.optimizer.moments) == ["momentum_buffer"]
        (entry,) = run.optimizer.moments
        for name, array in run.optimizer.moments[entry].items():
            np.testing.assert_array_equal(array.sel(step=3).values, states[3][entry, name])
        assert "updates" not in run.optimizer.hyperparameters
    else:
        check(run, states)
    decay = run.optimizer.hyperparameters.weight_decay.isel(step=0)
    assert one_group or decay.sel(parameter=["0.weight", "0.bias"]).values.tolist() == [0.1, 0.0]
    in_place = all(isinstance(series.values, Rows) for series in run.optimizer.tensors.series.values())
    assert in_place == SAYS_POSITIONS


def test_packed__is_the_same_and_grows(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), amsgrad=True)

    def keep(step):
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(content, tmp_path / f"step{step}.pt")

    train(model, optimizer, 2, keep)
    (tmp_path / "step2.pt").rename(tmp_path / "later")
    store = tmp_path / "run.zarr"
    trajlab.pack(trajlab.open(tmp_path), store)
    assert trajlab.open(store).optimizer.steps.tolist() == [1]
    (tmp_path / "later").rename(tmp_path / "step2.pt")
    run = trajlab.open(tmp_path)
    packed = trajlab.open(trajlab.pack(run, store))
    assert list(packed.optimizer.tensors) == list(run.optimizer.tensors)
    for name in run.optimizer.tensors:
        xr.testing.assert_identical(packed.optimizer.tensors[name].compute(), run.optimizer.tensors[name].compute())
    xr.testing.assert_identical(packed.optimizer.hyperparameters, run.optimizer.hyperparameters)
    with xr.open_datatree(store, engine="zarr") as tree:
        assert tree["optimizer/0.weight/exp_avg/value"].dims == ("step", "out", "in")
        assert tree["hyperparameters/lr"].dims == ("step", "parameter")
    assert run.tree["optimizer/0.weight/exp_avg/value"].sizes["step"] == 2
    without = trajlab.open(trajlab.pack(run, tmp_path / "small.zarr", optimizer=False))
    assert not len(without.optimizer) and list(without.weights) == list(run.weights) and len(run.optimizer)


def test_parameters_without_any_gradient_have_no_moments(tmp_path):
    model = network()
    model[0].bias.requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters())
    states = train(model, optimizer, 1, lambda step: None)
    torch.save({"net": model.state_dict(), "optim": optimizer.state_dict()}, tmp_path / "step1.pt")
    run = trajlab.open(tmp_path)
    assert "0.bias" not in run.optimizer.moments["exp_avg"]
    assert "0.bias" in run.optimizer.hyperparameters.parameter and run.optimizer.left_out == {}
    np.testing.assert_array_equal(run.optimizer.moments["exp_avg"]["2.bias"][0], states[1]["exp_avg", "2.bias"])


def test_optimizers_of_two_networks(tmp_path):
    models = {"gen": network(), "disc": nn.Linear(7, 1)}
    optimizers = {key: torch.optim.Adam(model.parameters()) for key, model in models.items()}
    models["gen"](torch.randn(8, 4)).sum().backward()
    models["disc"](torch.randn(8, 7)).sum().backward()
    [optimizer.step() for optimizer in optimizers.values()]
    content = {key: model.state_dict() for key, model in models.items()}
    torch.save(content | {f"opt_{k}": o.state_dict() for k, o in optimizers.items()}, tmp_path / "step1.pt")
    first = trajlab.open(tmp_path).optimizer.moments["exp_avg"]
    assert set(first) == {f"{key}.{name}" for key, model in models.items() for name, _ in model.named_parameters()}
    expected = optimizers["disc"].state[models["disc"].weight]["exp_avg"]
    np.testing.assert_array_equal(first["disc.weight"][0], expected)


def test_distributed_checkpoints(tmp_path):
    from torch.distributed.checkpoint.state_dict import get_state_dict

    model = network()
    optimizer = torch.optim.AdamW(two_groups(model), lr=0.1)

    def keep(step):
        state, of_optimizer = get_state_dict(model, optimizer)
        save_alone({"model": state, "optim": of_optimizer}, tmp_path / f"step-{step}")

    states = train(model, optimizer, 2, keep)
    run = trajlab.open(tmp_path)
    check(run, states)
    assert run.optimizer.hyperparameters.weight_decay.sel(parameter="2.bias").values.tolist() == [0.0, 0.0]


test_distributed_checkpoints = pytest.mark.filterwarnings("ignore")(test_distributed_checkpoints)


@pytest.mark.filterwarnings("ignore")
def test_trainer(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    sizes = {"n_positions": 8, "n_embd": 16, "n_layer": 3, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=20, **sizes))
    data = [{"input_ids": torch.arange(8) % 5, "labels": torch.arange(8) % 5} for _ in range(8)]
    arguments = transformers.TrainingArguments(
        str(tmp_path), save_steps=1, max_steps=2, per_device_train_batch_size=2, weight_decay=0.1, report_to=[],
        use_cpu=True, disable_tqdm=True, learning_rate=0.01,
    )  # fmt: skip
    trainer = transformers.Trainer(model, arguments, train_dataset=data)
    trainer.train()
    run = trajlab.open(tmp_path)
    assert run.optimizer.left_out == {} and run.optimizer.steps.tolist() == [1, 2]
    state = trainer.optimizer.optimizer.state if hasattr(trainer.optimizer, "optimizer") else trainer.optimizer.state
    for name, parameter in model.named_parameters():
        for entry in ("exp_avg", "exp_avg_sq"):
            actual = run.optimizer.moments[entry][name].sel(step=2).values
            np.testing.assert_array_equal(actual, state[parameter][entry].numpy(), err_msg=name)
    decay = run.optimizer.hyperparameters.weight_decay.isel(step=0)
    assert decay.sel(parameter=["transformer.wte.weight", "transformer.ln_f.bias"]).values.tolist() == [0.1, 0.0]


@pytest.mark.filterwarnings("ignore")
def test_lightning(tmp_path):
    from tests.runs.readers.test_lightning_files import Module, fit

    pytest.importorskip("lightning")
    fit(tmp_path, every_n_train_steps=8)
    run = trajlab.open(tmp_path)
    assert run.optimizer.left_out == {}
    assert set(run.optimizer.moments["exp_avg"]) == {name for name, _ in Module().named_parameters()}
    stored = torch.load(next(tmp_path.glob("*step=16.ckpt")), weights_only=True)["optimizer_states"][0]["state"]
    for (name, _), of_parameter in zip(Module().named_parameters(), stored.values(), strict=True):
        np.testing.assert_array_equal(run.optimizer.moments["exp_avg"][name].sel(step=16), of_parameter["exp_avg"])


def test_damaged_states_do_not_keep_a_run_from_opening(tmp_path):
    (tmp_path / "checkpoint-1").mkdir()
    torch.save(network().state_dict(), tmp_path / "checkpoint-1" / "pytorch_model.bin")
    (tmp_path / "checkpoint-1" / "optimizer.pt").write_bytes(b"x" * 100)
    run = trajlab.open(tmp_path)
    assert trajlab.run("drift", run).compute().sizes["step"] == 1
    with pytest.raises(DamagedData, match=r"optimizer\.pt"):
        run.optimizer  # noqa: B018


def test_a_run_without_states_has_none(example):
    assert len(example.optimizer) == 0 and example.optimizer.moments == {}


def test_quantized_moments_are_named(tmp_path):
    model = network()
    state = {"state": {i: {"state1": torch.ones(7, dtype=torch.uint8)} for i in range(6)},
             "param_groups": [{"params": list(range(6)), "lr": 0.1}]}  # fmt: skip
    torch.save({"model": model.state_dict(), "optimizer": state}, tmp_path / "step1.pt")
    optimizer = trajlab.open(tmp_path).optimizer
    assert optimizer.moments == {} and optimizer.left_out
