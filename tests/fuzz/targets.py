"""Small valid inputs of every kind that trajlab reads, and the commands that read them."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

import trajlab


class Target(NamedTuple):
    """An input.

    Attributes
    ----------
    build
        Function that writes it into a folder.
    victims
        Patterns of the files in the folder that are damaged.
    commands
        Command lines that read it; ``{}`` is the folder.
    """

    build: Callable[[Path], None]
    victims: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


def _states():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    for step in (1, 2, 3):
        with torch.no_grad():
            net[0].weight.add_(0.1 * step)
        yield step, {name: value.clone() for name, value in net.state_dict().items()}


def network(*arguments, **keywords):
    """Build the network of the recorded run, whatever its facts say of arguments."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))


def _recorded(folder, name="run", parent=None):
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    inputs, targets = torch.randn(6, 3), torch.tensor([0, 1] * 3)
    describe = {
        "model": {"factory": "os:system", "arguments": {}},
        "seed": 1,
        "parent": parent,
        "optimizer": {"lr": 0.1},
    }
    with trajlab.Recorder(
        net, folder / name, gradients=5, probe=(inputs, targets), segment_rows=2, describe=describe
    ) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(inputs), targets)
            loss.backward()
            recorder.step(loss=loss)
            optimizer.step()


def _torch(folder, **keywords):
    (folder / "run").mkdir()
    for step, state in _states():
        torch.save({"model": state, "epoch": step, "args": {"lr": 0.1}}, folder / "run" / f"step{step}.pt", **keywords)


def _sharded(folder):
    for step, state in _states():
        inside = folder / "run" / f"checkpoint-{step}"
        inside.mkdir(parents=True)
        parts = {
            "model-00001-of-00002.safetensors": list(state)[:3],
            "model-00002-of-00002.safetensors": list(state)[3:],
        }
        for name, held in parts.items():
            save_file({key: state[key] for key in held}, inside / name, metadata={"epoch": str(step)})
        index = {"metadata": {}, "weight_map": {key: name for name, held in parts.items() for key in held}}
        (inside / "model.safetensors.index.json").write_text(json.dumps(index))
    (inside / "trainer_state.json").write_text(
        json.dumps({"global_step": 3, "log_history": [{"step": 1, "loss": 0.5}]})
    )


def _npz(folder):
    (folder / "run").mkdir()
    for step, state in _states():
        save = np.savez if step < 3 else np.savez_compressed
        save(folder / "run" / f"step{step}.npz", epoch=step, **{name: value.numpy() for name, value in state.items()})


def _keras(folder):
    import h5py

    (folder / "run").mkdir()
    for step, state in _states():
        with h5py.File(folder / "run" / f"step{step}.weights.h5", "w") as file:
            for name, value in state.items():
                file.create_dataset(f"layers/dense/vars/{name}", data=value.numpy())


def _zip(folder):
    _torch(folder)
    for path in sorted((folder / "run").glob("*.pt")):
        with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
            archive.write(path, "policy.pth")
            archive.writestr("data", json.dumps({"num_timesteps": int(path.stem.removeprefix("step"))}))
        path.unlink()


def _distributed(folder):
    from tests.distributed_checkpoints import save_alone

    for step, state in _states():
        save_alone({"model": state, "step": step}, folder / "run" / f"step_{step}")


def _trained():
    """Train with Adam, and yield the steps with the network and the optimizer."""
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    for step in (1, 2, 3):
        optimizer.zero_grad()
        net(torch.randn(6, 3)).square().mean().backward()
        optimizer.step()
        yield step, net, optimizer


def _trainer(folder):
    """Write what Hugging Face's Trainer writes."""
    for step, net, optimizer in _trained():
        inside = folder / "run" / f"checkpoint-{step}"
        inside.mkdir(parents=True)
        save_file(net.state_dict(), inside / "model.safetensors")
        torch.save(optimizer.state_dict(), inside / "optimizer.pt")
        log = {"global_step": step, "log_history": [{"step": step, "loss": 0.5, "epoch": 0.1}]}
        (inside / "trainer_state.json").write_text(json.dumps(log))


def _lightning(folder, **keywords):
    """Write what Lightning writes, with the optimizer beside the weights."""
    (folder / "run").mkdir()
    for step, net, optimizer in _trained():
        content = {
            "state_dict": {f"model.{name}": value for name, value in net.state_dict().items()},
            "optimizer_states": [optimizer.state_dict()],
            "lr_schedulers": [],
            "global_step": step,
            "epoch": 0,
            "hyper_parameters": {"lr": 0.1},
        }
        torch.save(content, folder / "run" / f"epoch=0-step={step}.ckpt", **keywords)


def _distributed_optimizer(folder):
    """Write torch.distributed.checkpoint with an optimizer, its parameters by name."""
    import torch.distributed.checkpoint as checkpoint
    from torch.distributed.checkpoint.state_dict import get_state_dict

    for step, net, optimizer in _trained():
        model, state = get_state_dict(net, optimizer)
        at = folder / "run" / f"step_{step}"
        checkpoint.save({"model": model, "optim": state}, checkpoint_id=at, no_dist=True)


def _deepspeed(folder):
    """Write what DeepSpeed writes, with the optimizer's shards beside the weights."""
    for step, net, optimizer in _trained():
        inside = folder / "run" / f"global_step{step}"
        inside.mkdir(parents=True)
        shapes = [{name: value.shape for name, value in net.state_dict().items()}]
        torch.save(
            {"module": net.state_dict(), "param_shapes": shapes, "global_steps": step, "dp_world_size": 1},
            inside / "mp_rank_00_model_states.pt",
        )
        torch.save(
            {"optimizer_state_dict": {"base_optimizer_state": optimizer.state_dict()["state"], "zero_stage": 2}},
            inside / "zero_pp_rank_0_mp_rank_00_optim_states.pt",
        )
    (folder / "run" / "latest").write_text("global_step3")


def _moments(folder):
    """Record a run with moments and a frozen layer."""
    net = network()
    net[0].requires_grad_(False)
    optimizer = torch.optim.AdamW(net[2].parameters(), lr=0.1)
    with trajlab.Recorder(
        net, folder / "run", moments=True, optimizers=[optimizer], describe={"optimizer": {"name": "AdamW"}}
    ) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.randn(6, 3)).square().mean().backward()
            recorder.step(loss=1.0)
            optimizer.step()


def _transformers(folder):
    """Write two checkpoints of a small network of transformers, with its config.json."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=16,
    )  # fmt: skip
    for step in (1, 2):
        torch.manual_seed(step)
        LlamaForCausalLM(config).save_pretrained(folder / "run" / f"checkpoint-{step}")
    save_file({"inputs": torch.zeros(2, 4, dtype=torch.long)}, folder / "tokens.safetensors")


def _adapters(folder):
    """Write two checkpoints of adapters, as peft does."""
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["0"], "base_model_name_or_path": "x"}
    for step in (1, 2):
        inside = folder / "run" / f"checkpoint-{step}"
        inside.mkdir(parents=True)
        (inside / "adapter_config.json").write_text(json.dumps(config))
        names = {"lora_A.weight": (2, 3), "lora_B.weight": (4, 2)}
        save_file(
            {f"base_model.model.0.{name}": torch.randn(shape) for name, shape in names.items()},
            inside / "adapter_model.safetensors",
        )


def _events(folder):
    """Write checkpoints with TensorBoard's event files beside them."""
    from trajlab.runs.disk.event_files import event_file

    _torch(folder)
    rows = [(step, float(step), {"loss": 1.0 / step, "train/lr": 0.1}) for step in (1, 2, 3)]
    (folder / "run" / "events.out.tfevents.1.host").write_bytes(event_file(rows))


def _study(folder):
    _recorded(folder, "study/a")
    _recorded(folder, "study/b", parent="a")
    trajlab.pack(folder / "study" / "a", folder / "runs" / "a.zarr")
    shutil.copytree(folder / "study" / "b", folder / "runs" / "b")


def _results(folder):
    from trajlab.running.compute import write

    _study(folder)
    runs = {name: trajlab.open(folder / "study" / name) for name in ("a", "b")}
    write({folder / "results" / "alerts.zarr": trajlab.run("alerts", runs, model=network)})


def _store(folder):
    _recorded(folder)
    trajlab.pack(folder / "run", folder / "run.zarr")


def _result(folder):
    from trajlab.running.compute import write

    write({folder / "results" / "drift.zarr": trajlab.run("drift", trajlab.example(4))})


def _params(folder):
    _recorded(folder)
    settings = {"stages": {"drift": {"reference": 0, "rtol": 0.1}}, "drift": {"atol": 1.0}}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))


def _claims(folder):
    from trajlab.reports.claims import Claim, Difference, Measured, write_claims

    claim = Claim("it moves", "a lot", [Measured("changed", [0.1, 0.2], "share")], "yes", differences=[
        Difference("data", "all", "few")])  # fmt: skip
    write_claims([claim, claim], folder / "claims.json")
    _result(folder)


def _probes(folder):
    inputs, targets = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    save_file({"inputs": inputs, "targets": targets}, folder / "probe.safetensors")
    np.savez(folder / "probe.npz", inputs=inputs.numpy(), targets=targets.numpy())
    np.save(folder / "probe.npy", inputs.numpy())
    torch.save({"inputs": inputs, "targets": targets}, folder / "probe.pt")


INFO, DRIFT = ("info", "{}/run"), ("drift", "{}/run", "{}/out.zarr", "--workers", "1")
FOREIGN = (INFO, DRIFT, ("import", "{}/run", "{}/imported"))
ANY = ("run/**/*",)
OPTIMIZER = (
    ("optimizer_state", "{}/run", "{}/out.zarr", "--workers", "1"), INFO, ("pack", "{}/run", "{}/out.zarr"),
)  # fmt: skip
NETWORK = ("--model", "tests.fuzz.targets:network")

TARGETS = {
    "recorded run": Target(
        _recorded, ANY,
        (INFO, DRIFT, ("pack", "{}/run", "{}/out.zarr"), ("check", "{}/run"), ("alerts", "{}/run", *NETWORK),
         ("explain", "{}/run", "--step", "2"), ("prune", "{}/run", "{}/pruned", "--threshold", "0.1", *NETWORK),
         ("network", "{}/run", "{}/network.svg", *NETWORK), ("explore", "{}/run"),
         ("run", "{}/run", "{}/out", "--stages", "learning_curves,change_points,spectrum"),
         ("evaluation", "{}/run", "{}/out.zarr", "--model", "tests.fuzz.targets:network"),
         ("dead_neurons", "{}/run", "{}/out.zarr")),
    ),
    "study": Target(
        _study, ("study/**/*", "runs/**/*"),
        (("info", "{}/study"), ("info", "{}/runs"), ("alerts", "{}/runs", *NETWORK), ("pack", "{}/study", "{}/packed"),
         ("drift", "{}/runs", "{}/out.zarr", "--parent", "recorded"), ("drift", "{}/study", "{}/out.zarr"),
         ("comparison", "{}/study", "{}/out.zarr", *NETWORK), ("explore", "{}/runs")),
    ),
    "results of a study": Target(
        _results, ("results/**/zarr.json",),
        (("report", "{}/results", "{}/report.html"), ("figure", "{}/results/alerts.zarr", "{}/alerts.png"),
         ("export", "{}/results", "{}/table.csv"), ("export", "{}/results", "{}/table.json"),
         ("export", "{}/results", "{}/events"), ("export", "{}/results", "{}/table.parquet"),
         ("explore", "{}/results")),
    ),
    "PyTorch": Target(_torch, ANY, FOREIGN),
    "old PyTorch": Target(lambda folder: _torch(folder, _use_new_zipfile_serialization=False), ANY, FOREIGN),
    "sharded safetensors": Target(_sharded, ANY, FOREIGN),
    "npz": Target(_npz, ANY, FOREIGN),
    "Keras": Target(_keras, ANY, FOREIGN),
    "Stable-Baselines3": Target(_zip, ANY, FOREIGN),
    "torch.distributed": Target(_distributed, ("run/**/.metadata", "run/**/*.distcp"), FOREIGN),
    "Trainer's optimizer": Target(_trainer, ("run/*/*.pt", "run/*/*.json", "run/*/*.pt"), OPTIMIZER),
    "Lightning's optimizer": Target(_lightning, ANY, OPTIMIZER),
    "old Lightning's optimizer": Target(
        lambda folder: _lightning(folder, _use_new_zipfile_serialization=False), ANY, OPTIMIZER
    ),
    "DeepSpeed": Target(_deepspeed, ANY, (*FOREIGN, OPTIMIZER[2])),
    "torch.distributed's optimizer": Target(_distributed_optimizer, ("run/**/.metadata", "run/**/*.distcp"), OPTIMIZER),
    "recorded moments": Target(_moments, ANY, (*OPTIMIZER, ("check", "{}/run"))),
    "transformers": Target(
        _transformers, ("run/*/*.json",),
        (INFO, DRIFT, ("attention", "{}/run", "{}/out.zarr", "--probe", "{}/tokens.safetensors"),
         ("network", "{}/run", "{}/network.svg", "--probe", "{}/tokens.safetensors")),
    ),
    "adapters": Target(_adapters, ANY, (INFO, DRIFT, ("spectrum", "{}/run", "{}/out.zarr"))),
    "event files": Target(_events, ("run/events*",), (INFO, ("learning_curves", "{}/run", "{}/out.zarr"))),
    "packed store": Target(
        _store, ("run.zarr/**/*",),
        (("info", "{}/run.zarr"), ("drift", "{}/run.zarr", "{}/out.zarr", "--workers", "1"), ("check", "{}/run.zarr"),
         ("pack", "{}/run.zarr", "{}/again.zarr"), ("pack", "{}/run", "{}/run.zarr"),
         ("evaluation", "{}/run.zarr", "{}/out.zarr", "--model", "tests.fuzz.targets:network")),
    ),
    "result": Target(
        _result, ("results/**/*",),
        (("report", "{}/results", "{}/report.html"), ("check", "{}/results/drift.zarr"),
         ("figure", "{}/results/drift.zarr", "{}/drift.png")),
    ),
    "params.yaml": Target(_params, ("params.yaml",), ((*DRIFT, "--params", "{}/params.yaml"),)),
    "claims.json": Target(
        _claims, ("claims.json",), (("report", "{}/results", "{}/x.html", "--claims", "{}/claims.json"),)
    ),
    "probe": Target(_probes, ("probe.*",), (("probe", "{}/probe.{suffix}"),)),
}  # fmt: skip
