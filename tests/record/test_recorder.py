import contextlib
import gc
import json
import math
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData, OutputExists
from trajlab.record import Recorder, at, every


def one_step(model, recorder, inputs, **metrics):
    model(inputs).sum().backward()
    recorder.step(**metrics)


def test_recorder__leaves_training_bit_identical(make_model, train, tmp_path):
    model, optimizers = make_model(), []
    plain = make_model()
    for candidate in (model, plain):
        optimizers.append(torch.optim.AdamW(candidate.parameters(), lr=0.01))
    np.random.seed(1)  # noqa: NPY002
    train(model, tmp_path / "run", optimizer=optimizers[0], gradients=20, probe=torch.randn(3, 1, 8, 8))
    numbers = np.random.get_state()[1].copy()  # noqa: NPY002
    generator = torch.get_rng_state()

    np.random.seed(1)  # noqa: NPY002
    inputs = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for step in range(6):
        torch.manual_seed(step)
        optimizers[1].zero_grad()
        plain(inputs).square().mean().backward()
        optimizers[1].step()

    assert torch.equal(torch.get_rng_state(), generator)
    assert (np.random.get_state()[1] == numbers).all()  # noqa: NPY002
    for name, value in plain.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    for first, second in zip(*(optimizer.state_dict()["state"].values() for optimizer in optimizers), strict=True):
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_recorder__draws_no_global_random_number(make_model, tmp_path):
    model, inputs = make_model().eval(), torch.randn(2, 1, 8, 8)
    before = torch.get_rng_state()
    with Recorder(model, tmp_path / "run", gradients=5) as recorder:
        one_step(model, recorder, inputs)
    assert torch.equal(torch.get_rng_state(), before)


def test_recorder__row_is_weights_before_the_update_and_gradient_at_them(make_model, train, read, tmp_path):
    model = make_model()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    seen = train(model, tmp_path / "run", when=every(2))
    run = read(tmp_path / "run")
    assert sorted(run.checkpoints) == [0, 2, 4, 6]
    assert run.run["closed"] == 6
    for name, value in weights.items():
        if "running" not in name and "tracked" not in name:
            assert torch.equal(run.checkpoints[0][name], value)
        assert torch.equal(run.checkpoints[6][name], model.state_dict()[name])
    assert run.checkpoints[6]["1.num_batches_tracked"].dtype == torch.int64
    for name, rows in run.gradients.items():
        assert list(rows) == [0, 1, 2, 3, 4, 5]
        assert all(torch.equal(rows[step], seen[step][name]) for step in rows)
    assert [row["step"] for row in run.metrics] == [0, 1, 2, 3, 4, 5]


def test_recorder__samples_the_same_entries_at_each_step(make_model, train, read, tmp_path):
    seen = train(make_model(), tmp_path / "run", gradients=18)
    run = read(tmp_path / "run")
    assert run.run["gradients"]["sampled"] == {"0.weight": 18, "5.weight": 18}
    assert run.indices.keys() == {"0.weight", "5.weight"}
    assert (torch.bincount(run.indices["0.weight"] % 9) == 2).all()
    for name, rows in run.gradients.items():
        for step, row in rows.items():
            whole = seen[step][name]
            assert torch.equal(row, whole.reshape(-1)[run.indices[name]] if name in run.indices else whole)


def test_recorder__run_json_says_what_was_recorded(make_model, tmp_path):
    model = make_model()
    model[0].bias.requires_grad_(False)
    describe = {"model": {"factory": "zoo:cnn"}, "lr": 0.1}
    probe = (torch.randn(5, 1, 8, 8), torch.arange(5))
    with Recorder(model, tmp_path / "run", gradients=10, probe=probe, describe=describe, clipped=1.0, seed=4):
        pass
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["format"] == "trajlab-snapshots-1"
    assert run["parameters"] == ["0.weight", "0.bias", "1.weight", "1.bias", "5.weight", "5.bias"]
    assert run["buffers"] == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert run["frozen"] == ["0.bias"]
    assert run["tied"] == {}
    assert run["modules"][""] == "Sequential" and run["modules"]["1"] == "BatchNorm2d"
    assert run["shapes"]["0.weight"] == [4, 1, 3, 3]
    assert run["gradients"] == {
        "entries": 10,
        "seed": 4,
        "sampled": {"0.weight": 10, "5.weight": 10},
        "clipped": 1.0,
        "unscaled": True,
    }
    assert run["probe"]["inputs"] == [5, 1, 8, 8] and run["probe"]["targets"] == [5]
    assert run["describe"] == describe
    assert run["closed"] == 0


def test_recorder__without_gradients(make_model, train, read, tmp_path):
    train(make_model(), tmp_path / "run", gradients=False)
    run = read(tmp_path / "run")
    assert run.run["gradients"] is None
    assert not (tmp_path / "run" / "gradients").exists()
    assert len(run.checkpoints) == 7


def test_recorder__schedules_of_weights_and_gradients_differ(make_model, train, read, tmp_path):
    train(make_model(), tmp_path / "run", when=at([1]), gradients_when=at([0, 4]))
    run = read(tmp_path / "run")
    assert sorted(run.checkpoints) == [1, 6]
    assert {tuple(rows) for rows in run.gradients.values()} == {(0, 4)}


def test_recorder__tied_weights_stand_once(train, read, tmp_path):
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 4, bias=False))
    model[2].weight = model[0].weight
    train(model, tmp_path / "run", inputs=torch.randn(3, 4))
    run = read(tmp_path / "run")
    assert run.run["tied"] == {"2.weight": "0.weight"}
    assert run.run["parameters"] == ["0.weight"]
    assert run.checkpoints[3].keys() == run.gradients.keys() == {"0.weight"}


def test_recorder__frozen_unused_and_late_parameters(read, tmp_path):
    model = nn.ModuleDict({name: nn.Linear(2, 2, bias=False) for name in ("frozen", "unused", "late", "used")})
    model["frozen"].weight.requires_grad_(False)
    model["late"].weight.requires_grad_(False)
    with Recorder(model, tmp_path / "run", segment_rows=3) as recorder:
        for step in range(5):
            if step == 2:
                model["late"].weight.requires_grad_(True)
            model.zero_grad()
            hidden = model["late"](model["frozen"](torch.ones(1, 2)))
            model["used"](hidden).sum().backward()
            recorder.step()
    run = read(tmp_path / "run")
    assert {name: list(rows) for name, rows in run.gradients.items()} == {
        "used.weight": [0, 1, 2, 3, 4],
        "late.weight": [2, 3, 4],
    }
    assert run.run["frozen"] == ["frozen.weight"]
    assert run.checkpoints[5].keys() == {f"{name}.weight" for name in model}


def test_recorder__absent_steps_stand_in_the_segment(tmp_path):
    from safetensors import safe_open

    model = nn.ModuleList([nn.Linear(2, 1, bias=False) for _ in range(3)])
    with Recorder(model, tmp_path / "run") as recorder:
        for step in range(4):
            model.zero_grad()
            (model[0](torch.ones(1, 2)) + (model[1](torch.ones(1, 2)) if step % 2 else 0)).sum().backward()
            recorder.step()
    with safe_open(tmp_path / "run" / "gradients" / "0-3.safetensors", framework="pt") as file:
        assert set(file.keys()) == {"0.weight", "1.weight"}
        assert file.get_slice("1.weight").get_shape() == [2, 1, 2]
        absent = {"1.weight": [0, 2], "2.weight": [0, 1, 2, 3]}
        assert json.loads(file.metadata()["rows"]) == {"steps": [0, 1, 2, 3], "absent": absent}


def test_recorder__accumulated_gradients_give_one_row_a_step(read, tmp_path):
    model = nn.Linear(3, 1)
    batches = torch.randn(4, 2, 3)
    with Recorder(model, tmp_path / "run") as recorder:
        for pair in (batches[:2], batches[2:]):
            model.zero_grad()
            for batch in pair:
                (model(batch).mean() / 2).backward()
            recorder.step()
    rows = read(tmp_path / "run").gradients["weight"]
    assert list(rows) == [0, 1]
    assert torch.allclose(rows[0], batches[:2].mean(dim=(0, 1)), atol=1e-6)


def test_recorder__clipped_gradients_are_recorded_as_clipped(read, tmp_path):
    model = nn.Linear(3, 1, bias=False)
    with Recorder(model, tmp_path / "run", clipped=0.5) as recorder:
        model(torch.full((1, 3), 100.0)).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        recorder.step()
    run = read(tmp_path / "run")
    assert run.run["gradients"]["clipped"] == 0.5
    assert math.isclose(run.gradients["weight"][0].norm(), 0.5, rel_tol=1e-4)


def test_recorder__several_optimizers(read, tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    optimizers = [torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.Adam(model[1].parameters())]
    with Recorder(model, tmp_path / "run") as recorder:
        for _ in range(3):
            for optimizer in optimizers:
                optimizer.zero_grad()
            one_step(model, recorder, torch.ones(2, 3))
            for optimizer in optimizers:
                optimizer.step()
    run = read(tmp_path / "run")
    assert all(list(rows) == [0, 1, 2] for rows in run.gradients.values())
    assert not torch.equal(run.checkpoints[0]["0.weight"], run.checkpoints[1]["0.weight"])
    assert not torch.equal(run.checkpoints[0]["1.weight"], run.checkpoints[1]["1.weight"])


@pytest.mark.parametrize("gradients", [True, 3])
def test_recorder__sparse_gradients(gradients, read, tmp_path):
    model = nn.Embedding(5, 2, sparse=True)
    with Recorder(model, tmp_path / "run", gradients=gradients) as recorder:
        model(torch.tensor([1, 3, 3])).sum().backward()
        assert model.weight.grad.is_sparse
        recorder.step()
    run = read(tmp_path / "run")
    expected = torch.tensor([0.0, 1, 0, 2, 0])[:, None].expand(5, 2)
    if gradients == 3:
        expected = expected.reshape(-1)[run.indices["weight"]]
    assert torch.equal(run.gradients["weight"][0], expected)


def test_recorder__scalars_and_empty_tensors(read, tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))
            self.nothing = nn.Parameter(torch.empty(0, 3))
            self.register_buffer("count", torch.tensor(7))

        def forward(self, inputs):
            return inputs.sum() * self.scale + self.nothing.sum()

    model = Odd()
    with Recorder(model, tmp_path / "run", gradients=1) as recorder:
        for _ in range(2):
            model.zero_grad()
            one_step(model, recorder, torch.ones(3))
    run = read(tmp_path / "run")
    assert run.checkpoints[2]["scale"].shape == () and run.checkpoints[2]["count"] == 7
    assert run.checkpoints[2]["nothing"].shape == (0, 3)
    assert run.gradients["scale"][1] == 3
    assert run.gradients["nothing"][1].shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("gradients", [True, 4])
def test_recorder__keeps_the_dtype(dtype, gradients, read, tmp_path):
    model = nn.Linear(4, 2).to(dtype)
    with Recorder(model, tmp_path / "run", gradients=gradients) as recorder:
        one_step(model, recorder, torch.ones(1, 4, dtype=dtype))
    run = read(tmp_path / "run")
    assert run.checkpoints[0]["weight"].dtype == run.gradients["weight"][0].dtype == dtype
    assert torch.equal(run.checkpoints[0]["weight"], model.weight)


def test_recorder__channels_last_is_stored_in_c_order(read, tmp_path):
    model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    with Recorder(model, tmp_path / "run", gradients=20) as recorder:
        one_step(model, recorder, torch.randn(2, 3, 5, 5).to(memory_format=torch.channels_last))
    run = read(tmp_path / "run")
    assert not model.weight.is_contiguous()
    assert torch.equal(run.checkpoints[0]["weight"], model.weight)
    expected = model.weight.grad.contiguous().view(-1)[run.indices["weight"]]
    assert torch.equal(run.gradients["weight"][0], expected)


def test_recorder__gradients_that_have_a_graph_of_their_own(read, tmp_path):
    model = nn.Linear(2, 1, bias=False)
    with Recorder(model, tmp_path / "run", gradients=1) as recorder:
        gradient = torch.autograd.grad(model(torch.ones(1, 2)).square().sum(), model.weight, create_graph=True)[0]
        model.weight.grad = gradient
        recorder.step()
        model.weight.grad = None
    rows = read(tmp_path / "run").gradients["weight"]
    assert torch.equal(rows[0], gradient.detach().view(-1)[read(tmp_path / "run").indices["weight"]])


def test_recorder__compiled_model_has_plain_names(make_model, read, same, train, tmp_path):
    train(make_model(), tmp_path / "plain", steps=2)
    train(torch.compile(make_model(), backend="eager"), tmp_path / "compiled", steps=2)
    part = make_model()
    part[0] = torch.compile(part[0], backend="eager")
    train(part, tmp_path / "part", steps=2)
    same(read(tmp_path / "plain"), read(tmp_path / "compiled"))
    same(read(tmp_path / "plain"), read(tmp_path / "part"))


def test_recorder__data_parallel_model_has_plain_names(make_model, read, same, train, tmp_path):
    train(make_model(), tmp_path / "plain", steps=2)
    train(nn.DataParallel(make_model()), tmp_path / "parallel", steps=2)
    same(read(tmp_path / "plain"), read(tmp_path / "parallel"))


def test_recorder__distributed_model_has_plain_names(make_model, read, same, train, tmp_path):
    train(make_model(), tmp_path / "plain", steps=2)
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        train(nn.parallel.DistributedDataParallel(make_model()), tmp_path / "parallel", steps=2)
    finally:
        torch.distributed.destroy_process_group()
    same(read(tmp_path / "plain"), read(tmp_path / "parallel"))


def test_recorder__refuses_existing_directory(make_model, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"holds notes\.txt.*resume=True"):
        Recorder(make_model(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_recorder__refuses_a_file_as_directory(make_model, tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(OutputExists, match="is a file"):
        Recorder(make_model(), tmp_path / "run")


def test_recorder__takes_an_empty_directory(make_model, train, tmp_path):
    train(make_model(), tmp_path, steps=1)
    assert (tmp_path / "checkpoint-1").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"when": 10}, r"when=10: .*function.*every\(10\)"),
        ({"gradients": 0}, "gradients=0: .*True, False or a number"),
        ({"describe": {"model": object()}}, "cannot write describe"),
        ({"probe": "images"}, "a probe of str"),
        ({"probe": (torch.ones(3, 1), torch.ones(2))}, "3 inputs and 2 targets"),
    ],
)
def test_recorder__refuses_bad_settings(settings, message, make_model, tmp_path):
    with pytest.raises(BadSetting, match=message):
        Recorder(make_model(), tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_step__without_any_gradient_says_where_to_call_it(make_model, tmp_path):
    model, inputs = make_model(), torch.randn(2, 1, 8, 8)
    with Recorder(model, tmp_path / "run") as recorder:
        with pytest.raises(BadSetting, match=r"after backward\(\) and before zero_grad\(\)"):
            recorder.step()
        one_step(model, recorder, inputs)
        assert recorder.next_step == 1


@pytest.mark.parametrize("value", [torch.ones(2), "low", None, [1.0]])
def test_step__refuses_a_metric_that_is_no_number(value, make_model, read, tmp_path):
    model = make_model()
    with Recorder(model, tmp_path / "run") as recorder:
        with pytest.raises(BadSetting, match="metric loss: .* not one number"):
            one_step(model, recorder, torch.randn(2, 1, 8, 8), loss=value)
    assert read(tmp_path / "run").metrics == []


def test_step__after_close_is_refused(make_model, tmp_path):
    recorder = Recorder(make_model(), tmp_path / "run")
    recorder.close()
    recorder.close()
    with pytest.raises(BadSetting, match="closed"):
        recorder.step()


def test_recorder__does_nothing_in_a_fork(read, capfd, tmp_path):
    model = nn.Linear(2, 1)
    with Recorder(model, tmp_path / "run") as recorder:
        one_step(model, recorder, torch.ones(1, 2))
        child = os.fork()
        if not child:
            status = 1
            with contextlib.suppress(BaseException):
                for _ in range(2):
                    recorder.step(loss=3)
                recorder.flush()
                recorder.close()
                status = recorder.next_step
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        one_step(model, recorder, torch.ones(1, 2))
    assert capfd.readouterr().err.count("was forked and does not record") == 1
    assert list(read(tmp_path / "run").gradients["weight"]) == [0, 1] and read(tmp_path / "run").run["closed"] == 2


def test_recorder__exception_keeps_what_is_there_and_does_not_close(make_model, train, read, tmp_path):
    model = make_model()
    with pytest.raises(RuntimeError, match="boom"), Recorder(model, tmp_path / "run", when=every(2)) as recorder:
        for step in range(6):
            if step == 3:
                raise RuntimeError("boom")
            model.zero_grad()
            one_step(model, recorder, torch.randn(2, 1, 8, 8), loss=step)
    run = read(tmp_path / "run")
    assert run.run["closed"] is None
    assert sorted(run.checkpoints) == [0, 2]
    assert list(run.gradients["0.weight"]) == [0, 1, 2]
    assert [row["loss"] for row in run.metrics] == [0, 1, 2]


def test_recorder__forgotten_without_close_loses_nothing(make_model, read, tmp_path):
    model = make_model()
    recorder = Recorder(model, tmp_path / "run")
    one_step(model, recorder, torch.randn(2, 1, 8, 8), loss=1)
    del recorder
    gc.collect()
    run = read(tmp_path / "run")
    assert list(run.gradients["0.weight"]) == [0] and run.metrics == [{"step": 0, "loss": 1}]
    assert run.run["closed"] is None


def test_recorder__forgotten_at_the_end_of_the_program_loses_nothing(read, tmp_path):
    program = f"""
        import torch
        from trajlab.record import Recorder
        model = torch.nn.Linear(2, 1)
        recorder = Recorder(model, {str(tmp_path / "run")!r})
        model(torch.ones(1, 2)).sum().backward()
        recorder.step()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)
    assert list(read(tmp_path / "run").gradients["weight"]) == [0]


def test_flush__puts_everything_on_disk(make_model, read, tmp_path):
    model = make_model()
    with Recorder(model, tmp_path / "run") as recorder:
        one_step(model, recorder, torch.randn(2, 1, 8, 8), loss=1)
        recorder.flush()
        run = read(tmp_path / "run")
        assert list(run.gradients["0.weight"]) == [0] and list(run.checkpoints) == [0] and len(run.metrics) == 1


def test_flush__after_close_returns(make_model, tmp_path):
    recorder = Recorder(make_model(), tmp_path / "run")
    recorder.close()
    recorder.flush()


def test_recorder__disk_full_names_the_file_and_keeps_what_was_there(read, tmp_path):
    program = f"""
        import resource, torch
        from trajlab.errors import TrajlabError
        from trajlab.record import Recorder, at
        torch.manual_seed(0)
        model = torch.nn.Linear(200, 1)
        try:
            with Recorder(model, {str(tmp_path / "run")!r}, when=at([0, 2]), segment_rows=1) as recorder:
                for step in range(50):
                    model.zero_grad()
                    model(torch.ones(1, 200)).sum().backward()
                    recorder.step()
                    if step == 1:
                        recorder.flush()
                        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        except TrajlabError as error:
            print(step, error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}  # a part of a file of bytecode would be kept
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True, env=environment)
    step, message = done.stdout.split(maxsplit=1)
    assert 2 <= int(step) <= 5
    assert str(tmp_path / "run" / "checkpoint-2" / "model.safetensors") in message and "resume=True" in message
    assert done.stderr == ""
    run = read(tmp_path / "run")
    assert list(run.checkpoints) == [0] and list(run.gradients["weight"]) == [0, 1]
    assert not list((tmp_path / "run").rglob(".tmp-*"))


def test_recorder__records_the_parameters_that_are_named(tmp_path, read):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    inputs, build = torch.randn(6, 3), "torch.nn:Identity"
    describe = {"model": {"factory": build}}
    with Recorder(net, tmp_path / "run", parameters=["0", "3.b*"], probe=inputs, describe=describe) as recorder:
        net(inputs).sum().backward()
        recorder.step()
    recorded = read(tmp_path / "run")
    assert set(recorded.checkpoints[0]) == set(recorded.gradients) == {"0.weight", "0.bias", "3.bias"}
    left_out = ["1.weight", "1.bias", "3.weight", "1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert recorded.run["not_recorded"] == left_out
    run = trajlab.open(tmp_path / "run")
    assert list(run.weights) == ["0.weight", "0.bias", "3.bias"] and set(run.weights.left_out) == set(left_out)
    assert trajlab.run("drift", run).compute().parameter.size == 3
    with pytest.raises(MissingData, match="only some of its parameters were recorded, not 1.weight, 1.bias, 3.weight"):
        trajlab.run("saturation", run)
    with pytest.raises(BadSetting, match="record 'conv': no parameter or module has that name; choose among 0.weight"):
        Recorder(net, tmp_path / "other", parameters="conv")
