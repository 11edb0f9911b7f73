"""Tensors over checkpoints that differ in precision, shape and names."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import trajlab
from trajlab.errors import MissingData
from trajlab.runs.disk.rows import Rows
from trajlab.runs.inventory import inventory

VALUES = torch.tensor([[1.0, -2.5, 3.140625], [0.0, 600.0, -0.3]])
TYPES = {0: torch.float16, 10: torch.float32, 20: torch.bfloat16, 30: torch.float64, 40: torch.float16}


@pytest.fixture(params=["torch", "torch on demand", "safetensors"])
def mixed(request, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    kept = {}
    for step, dtype in TYPES.items():
        kept[step] = {"fc.weight": (VALUES + step).to(dtype), "fc.bias": torch.full((2,), step + 0.1)}
        if request.param == "safetensors":
            save_file(kept[step], folder / f"step{step}.safetensors")
        else:
            old = request.param == "torch on demand"
            torch.save(kept[step], folder / f"step{step}.pt", _use_new_zipfile_serialization=not old)
    return folder, kept


def test_open__floats_of_several_precisions_are_one_series_and_widen_exactly(mixed):
    folder, kept = mixed
    run = trajlab.open(folder)
    weight = run.weights["fc.weight"]
    assert not run.weights.omitted and weight["step"].values.tolist() == list(TYPES)
    assert weight.dtype == np.float64 and weight.attrs["stored_dtype"] == "float16, float32, bfloat16, float64"
    np.testing.assert_array_equal(weight.values, [kept[step]["fc.weight"].double().numpy() for step in TYPES])
    for step in TYPES:
        assert run.at(step)["fc.weight"].dtype == TYPES[step]
        assert torch.equal(run.at(step)["fc.weight"], kept[step]["fc.weight"])
    drift = trajlab.run("drift", run).compute()
    rows = weight.values.reshape(5, -1)
    right = np.linalg.norm(rows - rows[0], axis=1)
    np.testing.assert_allclose(drift.distance_l2.sel(parameter="fc.weight"), right, rtol=1e-12)
    assert np.isfinite(drift.total_distance_l2).all()
    assert ("fc.weight", "float16, float32, bfloat16, float64") in [(row[0], row[3]) for row in inventory(run).tensors]


def test_pack__several_precisions_are_kept(mixed, tmp_path):
    folder, kept = mixed
    packed = trajlab.open(trajlab.pack(folder, tmp_path / "run.zarr"))
    assert packed.weights["fc.weight"].attrs["stored_dtype"] == "float16, float32, bfloat16, float64"
    for step in TYPES:
        for name, value in kept[step].items():
            assert packed.at(step)[name].dtype == value.dtype and torch.equal(packed.at(step)[name], value)
    trajlab.pack(folder, tmp_path / "run.zarr")  # nothing is new
    torch.save(kept[40], folder / "step50.pt")
    assert len(trajlab.open(trajlab.pack(folder, tmp_path / "run.zarr")).steps) == 6


def test_open__halves_alone_widen_to_float32_and_are_read_in_place(tmp_path):
    for step, dtype in ((0, torch.float32), (1, torch.float32), (2, torch.float16)):
        torch.save({"w": torch.tensor([0.1, 2.0]).to(dtype), "b": torch.ones(2)}, tmp_path / f"step{step}.pt")
    run = trajlab.open(tmp_path)
    assert run.weights["w"].dtype == np.float32 and isinstance(run.weights.series["b"].values, Rows)
    right = np.array([[0.1, 2.0], [0.1, 2.0], [np.float32(np.float16(0.1)), 2.0]], np.float32)
    np.testing.assert_array_equal(run.weights["w"].values, right)


def test_open__a_kind_of_number_that_changes_is_left_out(tmp_path):
    torch.save({"w": torch.ones(2), "b": torch.ones(2)}, tmp_path / "step0.pt")
    torch.save({"w": torch.ones(2, dtype=torch.int8), "b": torch.ones(2)}, tmp_path / "step1.pt")
    run = trajlab.open(tmp_path)
    assert list(run.weights) == ["b"]
    assert "type changes" in run.weights.omitted["w"] and "int8" in run.weights.omitted["w"]
    with pytest.raises(MissingData, match=r"w.*type changes"):
        run.weights["w"]


@pytest.fixture
def reshaped(tmp_path):
    for step in range(4):
        outputs = 5 if step == 3 else 2
        state = {
            "0.weight": torch.full((3, 4), 1.0 + step),
            "2.weight": torch.ones(outputs, 3),
            "2.bias": torch.ones(outputs),
        }
        torch.save(state, tmp_path / f"step{step}.pt")
    return tmp_path


def test_run__tensors_whose_shape_changes_are_named_in_attrs_and_totals(reshaped):
    drift = trajlab.run("drift", trajlab.open(reshaped)).compute()
    assert list(drift.attrs["left_out"]) == ["2.weight", "2.bias"]
    assert (
        "(2, 3) at step 0" in drift.attrs["left_out"]["2.weight"]
        and "(5, 3) at step 3" in drift.attrs["left_out"]["2.weight"]
    )
    assert drift.total_distance_l2.attrs["left_out"] == "2.weight, 2.bias"
    assert "left_out" not in drift.distance_l2.attrs
    np.testing.assert_allclose(drift.total_distance_l2, np.arange(4) * np.sqrt(12), rtol=1e-12)


def test_run__of_several_runs_the_tensors_are_named_with_their_runs(reshaped):
    whole = trajlab.from_arrays({"0.weight": np.ones((4, 3, 4))})
    both = trajlab.run("drift", {"a": trajlab.open(reshaped), "b": whole}).compute()
    assert list(both.attrs["left_out"]) == ["2.weight of a", "2.bias of a"]
    same = trajlab.run("drift", {"a": trajlab.open(reshaped), "b": trajlab.open(reshaped)}).compute()
    assert list(same.attrs["left_out"]) == ["2.weight", "2.bias"]


def test_run__without_tensors_left_out_the_attrs_do_not_speak_of_them(example):
    assert "left_out" not in trajlab.run("drift", example).attrs


def test_pack__refuses_to_lose_tensors_whose_shape_changes(reshaped, tmp_path):
    with pytest.raises(MissingData, match=r"cannot pack .*2\.weight: its shape changes.*--parameters"):
        trajlab.pack(reshaped, tmp_path / "run.zarr")
    assert not (tmp_path / "run.zarr").exists()
    chosen = trajlab.open(reshaped, parameters="^(?!(2\\.weight|2\\.bias)$)")
    assert list(trajlab.open(trajlab.pack(chosen, tmp_path / "run.zarr")).weights) == ["0.weight"]


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda name, step: f"module.{name}",
        lambda name, step: f"module._orig_mod.{name}",
        lambda name, step: f"model._orig_mod.{name}" if step > 1 else f"model.{name}",
        lambda name, step: name.replace("fc.", "fc.module.") if step == 2 else name,
        lambda name, step: f"_orig_mod.{name}" if step % 2 else name,
        lambda name, step: name.replace(".weight", "._orig_mod.weight"),
        lambda name, step: f"_fsdp_wrapped_module.{name}",
    ],
)
def test_open__components_of_wrappers_go_wherever_they_stand(tmp_path, wrapped):
    for step in range(4):
        state = {"enc.fc.weight": torch.full((2, 2), float(step)), "enc.fc.bias": torch.ones(2)}
        torch.save({wrapped(name, step): value for name, value in state.items()}, tmp_path / f"step{step}.pt")
    run = trajlab.open(tmp_path)
    prefix = "model." if wrapped("x", 0).startswith("model.") else ""
    assert list(run.weights) == [f"{prefix}enc.fc.weight", f"{prefix}enc.fc.bias"]
    assert run.weights[f"{prefix}enc.fc.weight"].values[:, 0, 0].tolist() == [0, 1, 2, 3]


def test_open__wrappers_stay_where_two_tensors_would_share_a_name(tmp_path):
    save_file(
        {"module.w": torch.ones(2), "w": torch.zeros(2), "module.v": torch.ones(1)}, tmp_path / "step1.safetensors"
    )
    assert set(trajlab.open(tmp_path).weights) == {"module.w", "w", "v"}


def test_open__names_of_a_recorded_run_stay_as_they_are(tmp_path):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = torch.nn.Linear(2, 1)

    net = Net()
    with trajlab.Recorder(net, tmp_path / "run", when=trajlab.every(1)) as recorder:
        for _ in range(2):
            net.module(torch.ones(1, 2)).sum().backward()
            recorder.step()
    assert list(trajlab.open(tmp_path / "run").weights) == ["module.weight", "module.bias"]


def test_replay__a_network_with_a_module_called_module(tmp_path):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = torch.nn.Linear(2, 3)
            self.relu = torch.nn.ReLU()

        def forward(self, x):
            return self.relu(self.module(x))

    net = Net()
    torch.save(net.state_dict(), tmp_path / "step1.pt")
    inputs = torch.randn(4, 2)
    layers = trajlab.replay(trajlab.open(tmp_path), model=net, probe=inputs, layers=["relu"])
    np.testing.assert_allclose(layers["relu"].values[0], net(inputs).detach().numpy(), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_open__complex_sparse_and_quantized_tensors_are_named_and_the_others_analyzed(tmp_path):
    quantized = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    for step in range(2):
        state = {
            "w": torch.full((2,), float(step)),
            "spectral": torch.ones(2, dtype=torch.cfloat),
            "s": torch.eye(2).to_sparse(),
        }
        torch.save(state | {"q": quantized}, tmp_path / f"step{step}.pt")
    run = trajlab.open(tmp_path)
    assert list(run.weights) == ["w"] and set(run.weights.omitted) == {"spectral", "s", "q"}
    words = {"spectral": "complex64", "s": "sparse", "q": "qint8"}
    assert all(words[name] in reason for name, reason in run.weights.omitted.items())
    notes = " ".join(inventory(run).missing)
    assert all(f"{name} is left out" in notes for name in words)
    assert torch.equal(run.at(0)["spectral"], torch.ones(2, dtype=torch.cfloat))  # a replay needs it
    drift = trajlab.run("drift", run).compute()
    assert set(drift.attrs["left_out"]) == set(words) and drift.total_distance_l2.values[1] == pytest.approx(2**0.5)
    packed = trajlab.open(trajlab.pack(run, tmp_path / "run.zarr"))
    assert packed.weights.omitted == run.weights.omitted and "spectral" in packed.buffers
    buffers = trajlab.open(tmp_path, parameters="^w$")
    assert list(buffers.weights) == ["w"] and not buffers.weights.omitted


GPTQ = {
    "fc.qweight": torch.ones(4, 8, dtype=torch.int32), "fc.qzeros": torch.ones(1, 1, dtype=torch.int32),
    "fc.g_idx": torch.zeros(32, dtype=torch.int32), "fc.scales": torch.ones(1, 8, dtype=torch.float16),
    "fc2.weight": torch.ones(4, 4, dtype=torch.int8), "fc2.SCB": torch.ones(4),
    "fc3.weight": torch.ones(8, 1, dtype=torch.uint8), "fc3.weight.absmax": torch.ones(2),
    "bn.num_batches_tracked": torch.tensor(3), "position_ids": torch.arange(5)[None], "mask": torch.ones(2, 2).bool(),
}  # fmt: skip


def test_open__integer_weights_are_named_and_parameters_chooses_them(tmp_path):
    for step in range(2):
        state = {name: value + step if value.dtype == torch.int8 else value for name, value in GPTQ.items()}
        save_file(state, tmp_path / f"step{step}.safetensors")
    run = trajlab.open(tmp_path)
    assert set(run.weights.omitted) == {"fc.qweight", "fc.qzeros", "fc.g_idx", "fc2.weight", "fc3.weight"}
    assert "int8" in run.weights.omitted["fc2.weight"] and "--parameters" in run.weights.omitted["fc2.weight"]
    assert set(run.weights) == {"fc.scales", "fc2.SCB", "fc3.weight.absmax"}
    assert set(run.at(1)) == set(GPTQ)
    chosen = trajlab.open(tmp_path, parameters=r"^fc2\.weight$")
    assert (
        list(chosen.weights) == ["fc2.weight"] and not chosen.weights.omitted and len(chosen.buffers) == len(GPTQ) - 1
    )
    drift = trajlab.run("drift", chosen).compute()
    assert drift.total_distance_l2.values.tolist() == [0.0, 4.0] and "left_out" not in drift.attrs
