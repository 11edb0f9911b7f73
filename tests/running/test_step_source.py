"""How steps were read, in the attrs of results, on stderr and in info; and the options that choose."""

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import save_file

import trajlab
from tests.command_line import call
from trajlab.runs.inventory import inventory


def save(folder, *names, tensor="fc.weight"):
    folder.mkdir(parents=True, exist_ok=True)
    for position, name in enumerate(names):
        save_file({tensor: np.full((2, 3), position, np.float32)}, folder / f"{name}.safetensors")
    return folder


def test_run__the_result_says_how_steps_were_read_and_what_was_left_aside(tmp_path):
    run = trajlab.open(save(tmp_path / "a", "epoch_1", "epoch_2", "final"))
    result = trajlab.run("drift", run)
    assert result.attrs["step_source"] == "epoch in the name"
    assert result.attrs["left_aside"] == {"final.safetensors": "it states no step"}
    other = trajlab.open(save(tmp_path / "b", "step_1", "step_2"))
    both = trajlab.run("drift", {"a": run, "b": other})
    assert both.attrs["step_source"] == "epoch in the name (a); step in the name (b)"
    assert list(both.attrs["left_aside"]) == ["a/final.safetensors"]
    pairs = trajlab.run("comparison", {"a": run, "b": other})
    assert pairs.attrs["step_source"] == both.attrs["step_source"]
    same = trajlab.run("drift", {"a": other, "b": other})
    assert same.attrs["step_source"] == "step in the name" and "left_aside" not in same.attrs


def test_run__a_run_in_memory_and_a_recorded_one_say_nothing_of_steps(example):
    assert "step_source" not in trajlab.run("drift", example).attrs
    assert "step_source" not in trajlab.run("drift", {"a": example}).attrs


def test_pack__keeps_how_steps_were_read(tmp_path):
    run = trajlab.open(save(tmp_path / "a", "epoch_1", "epoch_2", "final"))
    packed = trajlab.open(trajlab.pack(run, tmp_path / "a.zarr"))
    assert packed.step_source == "epoch in the name" and packed.left_aside == run.left_aside


def test_inventory__says_how_steps_were_read(tmp_path):
    shown = inventory(trajlab.open(save(tmp_path, "epoch_1", "epoch_2", "final")))
    assert dict(shown.facts)["step"] == "step = epoch in the name"
    assert any("final.safetensors" in note and "states no step" in note for note in shown.missing)


def test_commands__say_how_steps_were_read_once(tmp_path):
    folder = save(tmp_path / "run", "epoch_1", "epoch_2", "final")
    done = call("run", folder, tmp_path / "results", "--stages", "drift,distribution")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "trajlab: step = epoch in the name",
        "trajlab: final.safetensors left aside: it states no step",
    ]
    assert xr.open_zarr(tmp_path / "results" / "drift.zarr").attrs["step_source"] == "epoch in the name"


@pytest.mark.parametrize(
    "command",
    [("drift", "RUN", "OUT"), ("alerts", "RUN"), ("pack", "RUN", "OUT"), ("import", "RUN", "OUT"), ("info", "RUN")],
    ids=lambda command: command[0],
)
def test_commands__take_a_series_and_a_step_pattern(tmp_path, command):
    folder = save(tmp_path / "run", "net_A_1", "net_A_2", "net_B_1", "net_B_5")
    arguments = [{"RUN": folder, "OUT": tmp_path / "out.zarr"}.get(part, part) for part in command]
    refused = call(*arguments)
    assert refused.returncode == 1 and len(refused.stderr.splitlines()) == 1
    assert "--series 'net_B'" in refused.stderr
    done = call(*arguments, "--series", "net_B")
    assert done.returncode == 0, done.stderr
    assert "net_A_1.safetensors" in done.stdout + done.stderr
    if command[0] in ("pack", "import"):
        assert trajlab.open(tmp_path / "out.zarr").steps.tolist() == [1, 5]
    if command[0] == "drift":
        assert xr.open_zarr(tmp_path / "out.zarr").step.values.tolist() == [1, 5]
        done = call(*arguments, "--step-pattern", r"A_(\d+)", "--overwrite")
        assert done.returncode == 0 and "step pattern" in done.stderr
        assert xr.open_zarr(tmp_path / "out.zarr").step.values.tolist() == [1, 2]


def test_commands__of_a_study(tmp_path):
    for seed in (0, 1):
        save(tmp_path / "study" / f"seed{seed}", "epoch_1", "epoch_2")
    done = call("drift", tmp_path / "study", tmp_path / "drift.zarr")
    assert done.returncode == 0 and done.stderr.splitlines() == ["trajlab: step = epoch in the name"]
    assert xr.open_zarr(tmp_path / "drift.zarr").run.values.tolist() == ["seed0", "seed1"]


def test_info__cuts_no_name_when_it_is_piped(tmp_path):
    name = "model.language_model.encoder.layers.11.self_attn.relative_position_bias.projection." * 3 + "weight"
    done = call("info", save(tmp_path, "step_1", "step_2", tensor=name))
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if name in line]
    assert row.split()[-2:] == ["2", "0"] and "2 × 3" in row and "float32" in row
    assert "step = step in the name" in done.stdout


def test_commands__choose_among_the_checkpoints_of_the_parent_where_it_takes_a_choice(tmp_path):
    folder = save(tmp_path / "run", "net_A_1", "net_A_2", "net_B_1", "net_B_5")
    done = call("drift", folder, tmp_path / "a.zarr", "--series", "net_B", "--parent", folder)
    assert done.returncode == 0, done.stderr
    distance = xr.open_zarr(tmp_path / "a.zarr").distance_l2.sel(parameter="fc.weight")
    np.testing.assert_allclose(distance, [0, 6**0.5])
    base = save(tmp_path / "base", "model")
    done = call("drift", folder, tmp_path / "b.zarr", "--series", "net_B", "--parent", base)
    assert done.returncode == 0, done.stderr
    distance = xr.open_zarr(tmp_path / "b.zarr").distance_l2.sel(parameter="fc.weight")
    np.testing.assert_allclose(distance, [2 * 6**0.5, 3 * 6**0.5])
