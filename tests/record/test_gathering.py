"""Sharded parameters (FSDP2) are recorded as whole ones, by two processes over gloo."""

import os
import socket
import subprocess
import sys
import textwrap

import pytest
import torch

import trajlab

TRAIN = """
    import sys
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.distributed.fsdp import fully_shard
    from trajlab.record import Recorder, every

    folder, rank, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if rank < 2:
        dist.init_process_group("gloo", rank=rank, world_size=2)

    def train(name, sharded, **settings):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.LayerNorm(5), nn.Linear(5, 1, bias=False))
        if sharded:
            for module in (model[0], model):
                fully_shard(module)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
        with Recorder(model, f"{folder}/{name}", when=every(2), **settings) as recorder:
            for step in range(5):
                optimizer.zero_grad()
                loss = model(inputs).square().mean()
                loss.backward()
                recorder.step(loss=loss)
                optimizer.step()
        return torch.cat([getattr(p, "full_tensor", lambda: p)().detach().flatten() for p in model.parameters()])

    if mode == "same":
        for name, settings in (("all", {}), ("sampled", {"gradients": 4}), ("none", {"gradients": False})):
            whole = train(name + "-whole", False, **settings)
            assert torch.allclose(train(name, True, **settings), whole, atol=1e-6)
    elif mode == "full disk":
        if rank == 0:
            from trajlab.record import writer
            def fail(path, tensors, metadata):
                if "checkpoint-2" in str(path):
                    raise OSError(28, "No space left on device")
                return write(path, tensors, metadata)
            write, writer.write_safetensors = writer.write_safetensors, fail
        train("run", True, gradients=4, on_error="warn")
    elif mode == "one only":
        from trajlab.record import gathering
        gathering.AGREEMENT_SECONDS = 1
        from trajlab.errors import BadSetting
        model = nn.Linear(4, 2)
        fully_shard(model)
        if rank == 0:
            try:
                Recorder(model, f"{folder}/run")
            except BadSetting as error:
                print(error)
        dist.barrier()
    dist.destroy_process_group()
"""


def in_two_processes(folder, mode):
    """Run the training in two processes; returns what each printed, and its lines on stderr."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(TRAIN), str(folder), str(rank), mode],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    answers = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    return answers


@pytest.mark.slow
def test_sharded__is_recorded_as_a_whole_network_is(read, tmp_path):
    in_two_processes(tmp_path, "same")
    for name in ("all", "sampled", "none"):
        sharded, whole = read(tmp_path / name), read(tmp_path / f"{name}-whole")
        assert sharded.run["closed"] == 5 and sharded.run["shapes"] == whole.run["shapes"]
        assert sharded.checkpoints.keys() == whole.checkpoints.keys() == {0, 2, 4, 5}
        assert sharded.gradients.keys() == whole.gradients.keys()
        for field in ("checkpoints", "gradients"):
            for key, parts in getattr(whole, field).items():
                for inner, values in parts.items():
                    torch.testing.assert_close(getattr(sharded, field)[key][inner], values, rtol=1e-5, atol=1e-6)
        for tensor, values in whole.checkpoints[0].items():
            assert torch.equal(sharded.checkpoints[0][tensor], values)
        assert sharded.metrics[0]["loss"] == pytest.approx(whole.metrics[0]["loss"])
    assert trajlab.run("drift", trajlab.open(tmp_path / "sampled")).compute().parameter.size == 5


@pytest.mark.slow
def test_sharded__a_full_disk_stops_recording_and_not_training(read, tmp_path):
    (_, first), (_, second) = in_two_processes(tmp_path, "full disk")
    assert "No space left on device" in first and "lacks" in first and "Traceback" not in first + second
    assert list(read(tmp_path / "run").checkpoints) == [0]


@pytest.mark.slow
def test_sharded__a_recorder_in_one_process_only_is_refused(tmp_path):
    (out, _), _ = in_two_processes(tmp_path, "one only")
    assert "some of the 2 processes made no Recorder within 1 s; make it, and call its methods, in all of them" in out
