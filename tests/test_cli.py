import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import trajlab
from tests.command_line import call


def call_in_a_new_process(*arguments, **keywords):
    command = [sys.executable, "-m", "trajlab", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **keywords)


@pytest.fixture
def store(example, tmp_path):
    return trajlab.pack(example, tmp_path / "run.zarr")


def test_help__lists_the_stages_and_imports_no_package_but_those_of_typer():
    code = (
        "import sys, typer.rich_utils, typer.completion\nbefore = set(sys.modules)\nfrom trajlab.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    packages = {name.partition(".")[0] for name in done.stderr.split()}
    assert packages - {"trajlab", "typer", "click", "rich"} <= sys.stdlib_module_names, "others take time"
    assert "trajlab" in packages and "importlib.metadata" not in done.stderr.split()
    for name in ("drift", "distribution", "zero_gradients", "sign_flips", "pack", "info", "report"):
        assert name in done.stdout


def test_help__lists_stages_by_what_they_need():
    titles = ("What went wrong", "From weights", "From gradients", "By replaying snapshots")
    text = call("--help").stdout
    parts = [text.index(f" {title} ") for title in titles]
    assert parts == sorted(parts)
    alerts, weights, gradients, replaying = (text[a:b] for a, b in zip(parts, [*parts[1:], None], strict=True))
    for name, part in {"alerts": alerts, "drift": weights, "sign_flips": gradients, "dead_neurons": replaying}.items():
        assert f" {name} " in part


def test_help__a_stage_that_needs_another_run_is_across_runs(tmp_path, monkeypatch):
    from trajlab.running import help

    cases = {
        "weight, parent_weight=None": "From weights", "weight, parent_weight": "Across runs",
        "gradients, *, window=3": "From gradients", "activation=None": "By replaying snapshots", "": "Other stages",
    }  # fmt: skip
    for arguments, panel in cases.items():
        function = ast.parse(f"def stage({arguments}): pass").body[0]
        monkeypatch.setattr(help, "_definition", lambda name, function=function: function)
        assert help.panel("stage") == panel


def test_help__of_a_stage_explains_its_settings_and_its_result():
    done = call("drift", "--help")
    text = done.stdout
    assert text.index("--reference") < text.index("--parent") < text.index("update_ratio")
    assert "default: 0" in text


def test_stage__writes_what_python_computes(store, tmp_path):
    done = call_in_a_new_process("drift", store, tmp_path / "drift.zarr", "--reference", -1)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    actual = xr.open_zarr(tmp_path / "drift.zarr")
    expected = trajlab.run("drift", trajlab.open(store), reference=-1)
    xr.testing.assert_equal(actual.compute(), expected.compute())
    assert json.loads(actual.attrs["settings"]) == {"reference": -1}


def test_stage__settings_from_a_file_give_way_to_options(store, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("zero_gradients: {tau: [0.5, 0.1], relative: [0.3]}\nstudies: {}\n")
    call("zero_gradients", store, tmp_path / "a.zarr", "--params", params)
    call("zero_gradients", store, tmp_path / "b.zarr", "--params", params, "--tau", 0.2)
    assert xr.open_zarr(tmp_path / "a.zarr").tau.values.tolist() == [0.5, 0.1, 0.3]
    assert xr.open_zarr(tmp_path / "b.zarr").tau.values.tolist() == [0.2, 0.3]


def test_alerts__prints_what_fires_and_what_does_not(store, tmp_path):
    done = call("alerts", store)
    assert (done.returncode, done.stderr) == (0, "")
    row = next(line for line in done.stdout.splitlines() if line.startswith("UnchangedTensor"))
    assert row.split() == ["UnchangedTensor", "frozen.weight", "2", "20", "19", "3"]
    quiet = next(line for line in done.stdout.splitlines() if line.startswith("quiet"))
    assert "ExplodingTensor" in quiet and "LossNotDecreasing" in quiet
    assert "not checked  DeadRelu: the run has no activations of ReLUs" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["run.zarr"]


def test_alerts__writes_the_result_where_it_is_told_to(store, tmp_path):
    done = call("alerts", store, tmp_path / "alerts.zarr", "--spike-deviations", 3)
    assert done.returncode == 0 and "UnchangedTensor" in done.stdout
    expected = trajlab.run("alerts", trajlab.open(store), spike_deviations=3.0).compute()
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "alerts.zarr").compute(), expected)
    assert call("alerts", store, tmp_path / "alerts.zarr").returncode == 1
    assert call("alerts", store, tmp_path / "alerts.zarr", "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("rules", "code", "message"),
    [
        (["ExplodingTensor"], 0, ""),
        (["exploding-tensor", "UnchangedTensor"], 1, "trajlab: UnchangedTensor fired."),
        (["any"], 1, "UnchangedTensor and WeightUpdateRatio fired."),
        (["DeadRelu"], 1, "trajlab: DeadRelu could not be checked."),
        (["VanishingGradients"], 2, "did you mean VanishingGradient?"),
        (["nonsense"], 2, "choose AllZero, DeadRelu,"),
    ],
)
def test_alerts__fail_on_the_rules_that_are_asked_for(store, rules, code, message):
    done = call("alerts", store, *(word for rule in rules for word in ("--fail-on", rule)))
    assert done.returncode == code
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert code == 2 or "UnchangedTensor" in done.stdout


def test_alerts__of_several_runs_name_each(example, tmp_path):
    for name in ("a", "b"):
        trajlab.pack(example, tmp_path / "runs" / f"{name}.zarr")
    lines = call("alerts", tmp_path / "runs").stdout.splitlines()
    assert lines.index("a") < lines.index("b")
    assert sum(line.startswith("UnchangedTensor") for line in lines) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drift: {refrence: 0}", r"drift.*refrence.*reference, rtol, atol"),
        ("stages: {drift: {refrence: 0}}", r"drift.*refrence.*reference, rtol, atol"),
        ("- drift", r"params\.yaml.* list"),
        ("drift: {", r"params\.yaml"),
        ("drift: 3", r"section drift .*3"),
        ("drift: {reference: first}", r"drift .*whole number .*reference.*'first'"),
    ],
)
def test_stage__a_bad_params_file_is_one_line(store, tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    done = call("drift", store, tmp_path / "x.zarr", "--params", tmp_path / "params.yaml")
    assert done.returncode == 1
    assert re.search(message, done.stderr) and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x.zarr").exists()


def test_run__several_stages_in_one_pass(store, tmp_path):
    done = call("run", store, tmp_path / "out", "--stages", "drift,sign_flips", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["drift.zarr", "sign_flips.zarr"]
    xr.testing.assert_equal(
        xr.open_zarr(tmp_path / "out" / "sign_flips.zarr").compute(),
        trajlab.run("sign_flips", trajlab.open(store)).compute(),
    )


def test_run__leaves_out_what_the_run_can_not_serve(tmp_path):
    trajlab.pack(trajlab.from_arrays({"w": np.zeros((3, 4), np.float32)}), tmp_path / "run.zarr")
    done = call("run", tmp_path / "run.zarr", tmp_path / "out")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert re.search(r"stages are left out: .*zero_gradients[^()]* \(there are no gradients\)", line)
    assert re.search(r"comparison \(there is one run\)", line) and re.search(
        r"evaluation[^()]* \([^()]*names its network", line
    )
    assert (tmp_path / "out" / "drift.zarr").exists()
    done = call("run", tmp_path / "run.zarr", tmp_path / "out2", "--stages", "drift,zero_gradients")
    assert done.returncode == 1 and not (tmp_path / "out2").exists()


def test_run__a_stage_that_does_not_fit_is_left_out_and_stops_no_other(tmp_path):
    trajlab.pack(trajlab.from_arrays({"w": np.zeros((3, 4), np.float32)}), tmp_path / "run.zarr")
    np.save(tmp_path / "tokens.npy", np.zeros((4, 6), np.int64))
    replay = ("--model", "torch.nn:Identity", "--probe", tmp_path / "tokens.npy")
    done = call("run", tmp_path / "run.zarr", tmp_path / "out", *replay)
    assert done.returncode == 0, done.stderr
    assert re.search(r"stages are left out: .*saturation[^()]* \([^()]*not in the model", done.stderr)
    assert (tmp_path / "out" / "drift.zarr").exists()
    done = call("run", tmp_path / "run.zarr", tmp_path / "out2", "--stages", "drift,saturation", *replay)
    assert done.returncode == 1 and not (tmp_path / "out2").exists()


def test_a_folder_of_runs_is_stacked(example, tmp_path):
    for name in ("a", "b"):
        trajlab.pack(example, tmp_path / "runs" / f"{name}.zarr")
    call("drift", tmp_path / "runs", tmp_path / "drift.zarr")
    assert xr.open_zarr(tmp_path / "drift.zarr").run.values.tolist() == ["a", "b"]


def test_an_output_that_exists_is_left_alone(store, tmp_path):
    out = tmp_path / "drift.zarr"
    assert call("drift", store, out).returncode == 0
    before = (out / "zarr.json").stat().st_mtime_ns
    done = call("drift", store, out)
    assert done.returncode == 1 and "exists already" in done.stderr
    assert (out / "zarr.json").stat().st_mtime_ns == before
    assert call("drift", store, out, "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["drift"], 2),
        (["nonsense"], 2),
        (["drift", "nowhere", "out.zarr"], 1),
        (["drift", "nowhere", "out.zarr", "--nope"], 2),
        (["info", "nowhere"], 1),
        (["pack", "nowhere", "out.zarr"], 1),
        (["figure", "nowhere", "out.png"], 1),
        (["report", "nowhere", "out.html"], 1),
        (["--version"], 0),
    ],
)
def test_exit_codes(arguments, code, tmp_path):
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    if code == 1:
        assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("trajlab: ")
    assert "Traceback" not in done.stderr


def test_an_error_is_an_exit_code_of_the_process(tmp_path):
    done = call_in_a_new_process("info", "nowhere", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("trajlab: ") and len(done.stderr.splitlines()) == 1


def test_pack__a_folder_of_runs(checkpoints, tmp_path):
    for name in ("a", "b"):
        folder = checkpoints({"w": np.zeros((2, 3), np.float32)}, folder=tmp_path / "study" / name)
        (folder / "run.json").write_text('{"format": "trajlab-snapshots-1", "parameters": ["w"]}')
    assert call("pack", tmp_path / "study", tmp_path / "runs").returncode == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["a.zarr", "b.zarr"]


def test_without_write_permission_the_error_is_one_line(store):
    done = call("drift", store, Path("/proc/no/drift.zarr"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "/proc/no" in done.stderr


def test_overwrite__replaces_results_only(store, tmp_path):
    for target in (store, tmp_path):
        done = call("drift", store, target, "--overwrite")
        assert done.returncode == 1 and "never overwritten" in done.stderr
    assert len(trajlab.open(store).steps) == 21


def test_pack__that_is_told_to_end_leaves_nothing_behind(checkpoints, tmp_path):
    folder = checkpoints({"w": np.zeros((4, 1000, 1000), np.float32)})
    code = (
        "import os, signal, time\nfrom trajlab.runs import packed_layout\nfrom trajlab.cli import main\n"
        "def slow(*arguments):\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(0.2)\n"
        "packed_layout.write_shard = slow\nmain()"
    )
    command = [sys.executable, "-c", code, "pack", str(folder), str(tmp_path / "run.zarr")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130
    source, interrupted = done.stderr.splitlines()
    assert source.startswith("trajlab: step =") and interrupted.startswith("trajlab: interrupted")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_figure__draws_some_steps_of_one_layer_and_lets_filters_move(store, tmp_path):
    assert call("filters", store, tmp_path / "filters.zarr", "--steps", 0, "--steps", 7, "--steps", -1).returncode == 0
    done = call(
        "figure", tmp_path / "filters.zarr", tmp_path / "filters.gif", "--steps", "5:", "--parameter", "conv.weight"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "filters.gif").read_bytes().startswith(b"GIF89a")
    done = call("figure", tmp_path / "filters.zarr", tmp_path / "x.png", "--steps", "8:12")
    assert done.returncode == 1 and "8:12" in done.stderr


def test_comparison__of_a_folder_of_runs_or_a_run_and_its_parent(example, tmp_path):
    for seed, name in enumerate(("a", "b")):
        trajlab.pack(trajlab.example(seed=seed), tmp_path / "runs" / f"{name}.zarr")
    done = call("comparison", tmp_path / "runs", tmp_path / "c.zarr", "--steps", 0, "--steps", -1, "--shuffles", 3)
    assert done.returncode == 0, done.stderr
    result = xr.open_zarr(tmp_path / "c.zarr")
    assert result.total_distance.sizes == {"run": 2, "other": 2, "step": 21}
    one = tmp_path / "runs" / "a.zarr"
    assert call("comparison", one, tmp_path / "p.zarr", "--parent", tmp_path / "runs" / "b.zarr").returncode == 0
    assert xr.open_zarr(tmp_path / "p.zarr").other.values.tolist() == ["parent"]
    lost = call("drift", tmp_path / "runs", tmp_path / "d.zarr", "--parent", "recorded")
    assert lost.returncode == 1 and "no run names one" in lost.stderr
    alone = call("comparison", one, tmp_path / "x.zarr")
    assert alone.returncode == 1 and len(alone.stderr.splitlines()) == 1
    assert "comparison needs two runs" in alone.stderr


def test_explain__says_what_was_unusual_before_a_step(tmp_path, rng):
    loss = np.exp(0.1 * rng.standard_normal(80))
    loss[60] = 30.0
    run = trajlab.from_arrays({"w": np.ones((80, 2))}, metrics={"loss": loss})
    trajlab.pack(run, tmp_path / "runs" / "a.zarr")
    done = call("explain", tmp_path / "runs" / "a.zarr", "--step", 65)
    assert done.returncode == 0 and done.stdout.startswith("Step 60: `loss` rose ")
    assert "usually a single bad batch" in done.stdout
    quiet = call("explain", tmp_path / "runs" / "a.zarr", "--step", 59, "--window", 20)
    assert quiet.stdout == "Nothing was unusual from step 39 to step 59.\n"
    study = call("explain", tmp_path / "runs", "--step", 65)
    assert study.stdout.startswith("a\nStep 60: ")
    assert "steps 0 to 79 are recorded" in call("explain", tmp_path / "runs", "--step", 900).stderr
