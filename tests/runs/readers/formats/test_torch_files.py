import argparse
import os
import pickle
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import trajlab
from trajlab.errors import DamagedData
from trajlab.runs.disk.rows import Rows


def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(16, 2)
    )


def states(tmp_path, wrap=lambda state, step: state, name="step{}.pt", **keywords):
    kept = {}
    for step in (5, 20, 100):
        kept[step] = net(step).state_dict()
        torch.save(wrap(kept[step], step), tmp_path / name.format(step), **keywords)
    return kept


def check(run, kept, prefix=""):
    assert run.steps.tolist() == sorted(kept)
    for step, state in kept.items():
        actual = run.at(step)
        assert set(actual) == {name.removeprefix(prefix) for name in state}
        for name, value in state.items():
            assert torch.equal(actual[name.removeprefix(prefix)], value), name


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state, step: state,
        lambda state, step: {"state_dict": state, "epoch": 3},
        lambda state, step: {"model": state, "args": {"lr": 0.1}},
        lambda state, step: {
            "state_dict": state, "global_step": step, "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
            "pytorch-lightning_version": "2.0", "hyper_parameters": {"lr": 0.1},
        },
    ],
    ids=["plain", "state_dict", "model", "lightning"],
)  # fmt: skip
def test_open__ways_of_saving_weights(tmp_path, wrap):
    run, kept = states_and_open(tmp_path, wrap=wrap)
    check(run, kept)


def states_and_open(tmp_path, **keywords):
    kept = states(tmp_path, **keywords)
    return trajlab.open(tmp_path), kept


def test_open__zip_files_are_mapped_and_old_files_loaded(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    new, kept = states_and_open(tmp_path / "new")
    assert all(isinstance(life.values, Rows) for life in new.weights.series.values())
    check(new, kept)
    old, kept = states_and_open(tmp_path / "old", _use_new_zipfile_serialization=False)
    check(old, kept)
    np.testing.assert_allclose(
        trajlab.run("drift", new).compute().norm, trajlab.run("drift", old).compute().norm, rtol=1e-15
    )


@pytest.mark.parametrize("name", ["{}.pth", "epoch=1-step={}.ckpt", "checkpoint-{}.bin"])
def test_open__names(tmp_path, name):
    run, kept = states_and_open(tmp_path, name=name)
    check(run, kept)


def test_open__the_step_in_the_file_comes_before_the_one_in_the_name(tmp_path):
    for epoch, step in ((1, 400), (2, 800)):
        torch.save({"state_dict": net().state_dict(), "global_step": step}, tmp_path / f"epoch={epoch}.ckpt")
    assert trajlab.open(tmp_path).steps.tolist() == [400, 800]


def test_open__a_step_pattern_for_odd_names(tmp_path):
    for step in (3, 7):
        torch.save(net().state_dict(), tmp_path / f"2024-11-05_upd{step}_v2.pt")
    assert trajlab.open(tmp_path, step_pattern=r"upd(\d+)").steps.tolist() == [3, 7]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_open__prefixes_of_wrappers_are_stripped(tmp_path, prefix):
    kept = states(tmp_path, lambda state, step: {prefix + name: value for name, value in state.items()})
    check(trajlab.open(tmp_path), kept)


def test_open__tensors_that_are_not_contiguous_or_share_memory(tmp_path):
    base = torch.arange(24.0)
    for step in (1, 2):
        tensors = {
            "t.weight": base.reshape(4, 6).t() * step,
            "a.weight": base[:6] * step,
            "tied.weight": base[:6] * step,
        }
        torch.save(tensors, tmp_path / f"step{step}.pt")
    run = trajlab.open(tmp_path)
    np.testing.assert_array_equal(run.weights["t.weight"].values[1], base.reshape(4, 6).t().numpy() * 2)
    np.testing.assert_array_equal(run.weights["tied.weight"].values[0], np.arange(6))


@pytest.mark.parametrize(
    ("dtype", "new"),
    [(torch.bfloat16, True), (torch.float16, True), (torch.float8_e5m2, True), (torch.bfloat16, False)],
)
def test_open__small_floats(tmp_path, dtype, new):
    values = torch.randn(33).to(dtype)
    torch.save({"w": values}, tmp_path / "step1.pt", _use_new_zipfile_serialization=new)
    run = trajlab.open(tmp_path)
    np.testing.assert_array_equal(run.weights["w"].values[0], values.float().numpy())
    assert torch.equal(run.at(1)["w"].view(torch.uint8), values.view(torch.uint8))


class Thief:
    def __reduce__(self):
        return os.system, ("touch /tmp/stolen-by-a-pickle",)


def test_open__code_is_never_run(tmp_path):
    torch.save({"model": net(), "x": Thief()}, tmp_path / "step1.pt")
    with pytest.raises(DamagedData, match=r"step 1: .*step1\.pt as weights only.*would run code"):
        trajlab.open(tmp_path)
    (tmp_path / "step1.pt").write_bytes(pickle.dumps(Thief()))
    with pytest.raises(DamagedData, match="step1.pt"):
        trajlab.open(tmp_path)
    assert not os.path.exists("/tmp/stolen-by-a-pickle")


def test_open__a_truncated_file_is_named(tmp_path):
    states(tmp_path)
    data = (tmp_path / "step20.pt").read_bytes()
    (tmp_path / "step20.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedData, match=r"step 20: .*step20\.pt"):
        trajlab.open(tmp_path)


def test_open__a_file_without_weights_is_named(tmp_path):
    torch.save({"optimizer": {"lr": 0.1}, "epoch": 3}, tmp_path / "step1.pt")
    with pytest.raises(DamagedData, match="the keys optimizer, epoch"):
        trajlab.open(tmp_path)


def test_open__names_stay_in_the_order_of_the_network(tmp_path):
    torch.save(
        {"stem.weight": torch.zeros(2), "body.weight": torch.zeros(2), "body.bias": torch.zeros(2)}, tmp_path / "1.pt"
    )
    assert list(trajlab.open(tmp_path).weights) == ["stem.weight", "body.weight", "body.bias"]


def test_open__settings_of_the_standard_library_and_numpy_beside_the_weights(tmp_path):
    beside = {"args": argparse.Namespace(lr=0.1), "out": Path("x"), "loss": np.float64(0.5), "step": np.int64(7)}
    torch.save({"model": net().state_dict()} | beside, tmp_path / "a1.pt")
    assert trajlab.open(tmp_path).steps.tolist() == [7]


def test_open__a_checkpoint_that_is_kept_twice_counts_once(tmp_path):
    for name, step in (("epoch=0", 5), ("epoch=1", 10), ("last", 10), ("best-v1", 5)):
        torch.save({"state_dict": net(step).state_dict(), "global_step": step}, tmp_path / f"{name}.ckpt")
    run = trajlab.open(tmp_path)
    check(run, {step: net(step).state_dict() for step in (5, 10)})
    (tmp_path / "epoch=1.ckpt").unlink()
    assert trajlab.open(tmp_path).steps.tolist() == [5, 10]


def test_open__an_old_file_that_is_cut_off_is_named_when_it_is_loaded(tmp_path):
    states(tmp_path, _use_new_zipfile_serialization=False)
    data = (tmp_path / "step20.pt").read_bytes()
    (tmp_path / "step20.pt").write_bytes(data[:-20])
    with pytest.raises(DamagedData, match=r"step20\.pt"):
        trajlab.run("drift", trajlab.open(tmp_path)).compute()


def test_open__optimizer_states_in_files_of_their_own_are_left_alone(tmp_path):
    kept = {}
    for step in (1, 2):
        folder = tmp_path / f"global_step{step}"
        folder.mkdir()
        kept[step] = net(step).state_dict()
        torch.save({"module": kept[step]}, folder / "mp_rank_00_model_states.pt")
        torch.save({"optimizer_state_dict": {}}, folder / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    check(trajlab.open(tmp_path), kept)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_open__tensors_that_are_not_dense_are_left_out(tmp_path):
    torch.save(
        {"a": torch.eye(2).to_sparse(), "b": torch.eye(2).to_sparse_csr(), "w": torch.ones(3)}, tmp_path / "1.pt"
    )
    run = trajlab.open(tmp_path)
    assert list(run.weights) == ["w"] and run.weights["w"].values.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("new", [True, False])
def test_open__pickled_objects_are_named_with_a_way_out_that_works(tmp_path, new):
    content = {"model": net().state_dict(), "ratio": Fraction(1, 2), "rule": re.compile("x")}
    torch.save(content, tmp_path / "step1.pt", _use_new_zipfile_serialization=new)
    with pytest.raises(DamagedData, match=r"holds pickled objects \(fractions\.Fraction, re\._compile\)") as error:
        trajlab.open(tmp_path)
    assert "safetensors.torch.save_file" in str(error.value) and "weights_only" not in str(error.value)
    save_file(net().state_dict(), tmp_path / "step1.safetensors")
    (tmp_path / "step1.pt").unlink()
    assert trajlab.open(tmp_path).steps.tolist() == [1]
