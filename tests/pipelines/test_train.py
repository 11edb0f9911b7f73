import csv
import json
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from pipelines import train, zoo
from pipelines.datasets import load
from pipelines.datasets.images import Split
from pipelines.evaluate import evaluate
from pipelines.settings import Run, trainings
from pipelines.training_state import STATE_FILE
from trajlab.errors import BadSetting, MissingData, OutputExists
from trajlab.record import Recorder

STEPS = 30
EPOCH = 1438 // 64

SETTINGS = {
    "studies": {
        "tiny": {
            "optimizers": {
                "sgd": {"class": "SGD", "lr": 0.05, "momentum": 0.9},
                "adam": {"class": "Adam", "lr": 0.002},
                "wrong": {"class": "Sdg", "lr": 0.1},
            },
            "training": {
                "model": {"factory": "pipelines.zoo:digits_cnn", "arguments": {"num_classes": 10}},
                "dataset": "digits",
                "steps": STEPS,
                "batch_size": 64,
                "weights_every": 10,
                "gradients": 32,
                "probe": 16,
            },
        }
    }
}


@pytest.fixture(autouse=True)
def restored_torch():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Train in tmp_path and return the run folder; keywords change the settings of the training."""
    monkeypatch.chdir(tmp_path)

    def run(init="xavier_normal", optimizer="sgd", seed=0, *, data="data", resume=False, study="tiny", **changes):
        section = SETTINGS["studies"]["tiny"]
        section = section | {"training": section["training"] | changes}
        params = tmp_path / "params.yaml"
        params.write_text(yaml.safe_dump({"studies": {"tiny": section}}))
        train.main(study, init, optimizer, seed, data=tmp_path / data, params=params, resume=resume)
        return tmp_path / data / "snapshots" / study / f"{init}-{optimizer}-{seed}"

    return run


def weights(folder, step):
    return load_file(folder / f"checkpoint-{step}" / "model.safetensors")


def gradients(folder):
    return {path.name: load_file(path) for path in (folder / "gradients").glob("*-*.safetensors")}


def assert_same_run(first, second):
    assert (first / "metrics.jsonl").read_text() == (second / "metrics.jsonl").read_text()
    for step in (0, 10, 20, STEPS):
        torch.testing.assert_close(weights(first, step), weights(second, step), rtol=0, atol=0)
    torch.testing.assert_close(gradients(first), gradients(second), rtol=0, atol=0)


def test_main__records_weights_at_steps_in_a_row(run):
    folder = run(weights_in_a_row=2)
    steps = {int(path.name.removeprefix("checkpoint-")) for path in folder.glob("checkpoint-*")}

    assert steps == {0, 1, 10, 11, 20, 21, STEPS}


def test_main__records_what_the_settings_say(run):
    folder = run()
    facts = json.loads((folder / "run.json").read_text())
    probe = load_file(folder / "probe.safetensors")

    assert {path.name for path in folder.glob("checkpoint-*")} == {f"checkpoint-{step}" for step in (0, 10, 20, 30)}
    assert sum(len(segment["fc1.weight"]) for segment in gradients(folder).values()) == STEPS
    assert all(segment["fc1.weight"].shape[1:] == (32,) for segment in gradients(folder).values())
    assert probe["inputs"].shape == (16, 1, 8, 8)
    assert probe["targets"].shape == (16,)
    for kind, split in (("", load("digits").test), ("train_", load("digits").train)):
        assert torch.equal(probe[f"{kind}inputs"], split.inputs[:16])
        assert torch.equal(probe[f"{kind}targets"], split.targets[:16])
    assert facts["describe"] == {
        "study": "tiny",
        "model": {"factory": "pipelines.zoo:digits_cnn", "arguments": {"num_classes": 10}},
        "dataset": "digits",
        "images": 1438,
        "init": "xavier_normal",
        "optimizer": "sgd",
        "lr": 0.05,
        "momentum": 0.9,
        "gradient": "batch",
        "seed": 0,
        "batch_size": 64,
        "steps_per_epoch": EPOCH,
    }


def test_main__leaves_only_the_run_when_finished(run):
    folder = run()

    assert not (folder / STATE_FILE).exists()
    assert json.loads((folder / "run.json").read_text())["closed"] == STEPS


def test_main__writes_metrics_and_curve_for_dvc(run, tmp_path, capsys):
    run()
    summary = json.loads((tmp_path / "data/metrics/tiny/xavier_normal-sgd-0.json").read_text())
    with (tmp_path / "data/curves/tiny/xavier_normal-sgd-0.csv").open() as stream:
        rows = list(csv.DictReader(stream))

    assert [int(row["step"]) for row in rows] == list(range(STEPS))
    assert [int(row["epoch"]) for row in rows] == [0] * EPOCH + [1] * (STEPS - EPOCH)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[0]["lr"]) == 0.05
    assert summary["test_accuracy"] > 0.5
    assert f"test accuracy {summary['test_accuracy']:.2%} after 30 steps" in capsys.readouterr().out


def test_metrics__are_those_of_the_weights_on_disk(run, tmp_path):
    folder = run()
    model = zoo.digits_cnn()
    model.load_state_dict(weights(folder, STEPS))
    loss, accuracy = evaluate(model, load("digits").test)
    summary = json.loads((tmp_path / "data/metrics/tiny/xavier_normal-sgd-0.json").read_text())

    assert summary == {"test_accuracy": accuracy, "test_loss": pytest.approx(loss)}


def test_evaluate__agrees_with_the_whole_set_in_one_batch():
    model = zoo.mlp_batchnorm(in_features=5)
    split = Split(torch.randn(2500, 5), torch.randint(0, 10, (2500,)))
    loss, accuracy = evaluate(model, split)
    logits = model.eval()(split.inputs)

    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, split.targets).item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == split.targets).double().mean().item()


@pytest.mark.filterwarnings("ignore:cannot find mnist:UserWarning")
def test_data_set__takes_arguments_and_its_masks_are_recorded(run, monkeypatch, tmp_path):
    monkeypatch.setenv("TRAJLAB_DATA", str(tmp_path))
    folder = run(
        dataset={"name": "colored_digits", "alignment": 0.9, "most": 64},
        model={"factory": "pipelines.zoo:pooled_cnn", "arguments": {}},
        steps=1,
    )
    facts = json.loads((folder / "run.json").read_text())["describe"]
    probe = load_file(folder / "probe.safetensors")
    images = load("colored_digits", tmp_path, alignment=0.9, most=64)

    assert (facts["dataset"], facts["dataset_alignment"], facts["images"]) == ("colored_digits", 0.9, 64)
    assert torch.equal(probe["mask_inputs"], images.masks[:16])
    assert torch.equal(probe["inputs"], images.test.inputs[:16])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_seed__decides_every_bit(run, optimizer):
    first = run(optimizer=optimizer)
    torch.rand(3)
    second = run(optimizer=optimizer, data="again")
    other = run(optimizer=optimizer, seed=1)

    assert_same_run(first, second)
    assert not torch.equal(weights(first, 0)["fc1.weight"], weights(other, 0)["fc1.weight"])


def test_optimizer__makes_the_difference_and_not_the_start(run):
    sgd, adam = run(optimizer="sgd"), run(optimizer="adam")

    torch.testing.assert_close(weights(sgd, 0), weights(adam, 0), rtol=0, atol=0)
    assert not torch.equal(weights(sgd, STEPS)["fc1.weight"], weights(adam, STEPS)["fc1.weight"])


@pytest.mark.parametrize(("optimizer", "gradient"), [("sgd", "average"), ("adam", "batch")])
@pytest.mark.parametrize("killed", [3, EPOCH + 5])
def test_resume__gives_the_run_that_was_never_interrupted(run, monkeypatch, optimizer, gradient, killed):
    whole = run(optimizer=optimizer, data="whole", gradient=gradient)
    step = Recorder.step

    def interrupted(recorder, **metrics):
        if recorder.next_step == killed:
            raise KeyboardInterrupt
        step(recorder, **metrics)

    monkeypatch.setattr(Recorder, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(optimizer=optimizer, gradient=gradient)
    monkeypatch.setattr(Recorder, "step", step)
    resumed = run(optimizer=optimizer, gradient=gradient, resume=True)

    assert_same_run(whole, resumed)
    assert not (resumed / STATE_FILE).exists()


def test_resume__without_an_interrupted_run_says_so(run):
    with pytest.raises(MissingData, match="cannot resume.*without --resume"):
        run(resume=True)


def test_images__are_the_first_of_the_data_set_and_epochs_pass_over_them(run):
    folder = run(images=128, test_images=20, steps=None, epochs=3)
    facts = json.loads((folder / "run.json").read_text())

    assert facts["closed"] == 3 * 2
    assert (facts["describe"]["images"], facts["describe"]["steps_per_epoch"]) == (128, 2)


def test_size__that_is_estimated_is_that_of_the_updates_of_the_run(run, monkeypatch):
    estimates = []

    class Watched(Recorder):
        def step(self, **metrics):
            super().step(**metrics)
            estimates.append(self.estimate)

    monkeypatch.setattr(train, "Recorder", Watched)
    run(images=128, test_images=20, steps=None, epochs=3)
    assert {estimate.steps for estimate in estimates} == {3 * 2}


def test_images__are_brought_to_a_shape_and_so_is_the_probe(run):
    model = {"factory": "pipelines.zoo:squeeze_mlp", "arguments": {"widths": [3 * 10 * 12, 4, 10]}}
    folder = run(model=model, image_shape=[3, 10, 12])

    assert load_file(folder / "probe.safetensors")["train_inputs"].shape == (16, 3, 10, 12)


def test_weights__are_recorded_at_chosen_steps(run):
    folder = run(steps=7, weights_every=None, weights_at=[1, 4], gradients=False)
    assert {path.name for path in folder.glob("checkpoint-*")} == {"checkpoint-1", "checkpoint-4", "checkpoint-7"}


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights__of_a_file_are_looked_at_without_a_step(run, tmp_path, suffix):
    state = zoo.digits_cnn().state_dict()
    file = tmp_path / f"weights.{suffix}"
    torch.save(state, file) if suffix == "pth" else save_file(state, file)
    folder = run(steps=0, weights=str(file), gradients=False)

    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-0"]
    torch.testing.assert_close(weights(folder, 0), dict(state), rtol=0, atol=0)
    assert json.loads((folder / "run.json").read_text())["describe"]["weights"] == str(file)
    assert not (folder / STATE_FILE).exists()


def test_weights__that_are_not_there_or_of_another_network_are_named(run, tmp_path):
    with pytest.raises(MissingData, match=r"nothing\.pth: .*no such file"):
        run(weights=str(tmp_path / "nothing.pth"))
    torch.save(zoo.mlp().state_dict(), tmp_path / "other.pth")
    with pytest.raises(BadSetting, match=r"other\.pth do not fit the network"):
        run(weights=str(tmp_path / "other.pth"))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(BadSetting, match=r"text\.pth do not fit the network"):
        run(weights=str(tmp_path / "text.pth"))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_pretrained__weights_of_other_images_and_classes_keep_their_inner_layers(run, tmp_path, suffix):
    state = zoo.digits_cnn(in_channels=3, num_classes=1000).state_dict()
    state |= {"fc1.bias": torch.arange(64.0), "conv1.bias": torch.ones(16), "aux.weight": torch.ones(2, 2)}
    file = tmp_path / f"other.{suffix}"
    torch.save(state, file) if suffix == "pth" else save_file(state, file)
    fresh = weights(run("kaiming_normal", seed=3), 0)
    folder = run("pretrained", seed=3, pretrained=str(file))
    actual = weights(folder, 0)

    for layer, start in (("conv1", fresh), ("conv2", state), ("fc1", state), ("fc2", fresh)):
        for kind in ("weight", "bias"):
            torch.testing.assert_close(actual[f"{layer}.{kind}"], start[f"{layer}.{kind}"], rtol=0, atol=0)
    assert json.loads((folder / "run.json").read_text())["describe"]["pretrained"] == str(file)


def test_pretrained__weights_whose_inner_layers_do_not_fit_are_named(run, tmp_path):
    state = zoo.digits_cnn().state_dict()
    torch.save(state | {"fc1.bias": torch.ones(3)}, tmp_path / "wide.pth")
    with pytest.raises(BadSetting, match=r"(?s)wide\.pth do not fit the network.*size mismatch for fc1\.bias"):
        run("pretrained", pretrained=str(tmp_path / "wide.pth"))
    del state["conv2.weight"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(BadSetting, match=r"(?s)less\.pth do not fit the network.*conv2\.weight"):
        run("pretrained", pretrained=str(tmp_path / "less.pth"))
    with pytest.raises(BadSetting, match="names no file"):
        run("pretrained")


def test_main__never_writes_over_a_run(run):
    run()

    with pytest.raises(OutputExists):
        run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"study": "tyni"}, "study 'tyni'.* tiny"),
        ({"optimizer": "sdg"}, "optimizer 'sdg'.* adam, sgd, wrong"),
        ({"optimizer": "wrong"}, "optimizer class 'Sdg'.*, Adam, .*, SGD"),
        ({"init": "xavier"}, "with 'xavier'; did you mean xavier_"),
        ({"batch_size": 5000}, "batch_size=5000 is more than the 1438 images"),
        ({"model": {"factory": "pipelines.zoo:lenet6", "arguments": {}}}, "pipelines.zoo:lenet6 with {}"),
        ({"model": {"factory": "zoos:lenet5", "arguments": {}}}, "No module named 'zoos'"),
        ({"model": {"factory": "pipelines.zoo:cnn", "arguments": {"depth": 3}}}, "argument 'depth'"),
        ({"images": 2000}, "2000 images.* has 1438"),
        ({"gradient": "mean"}, "kind of gradient 'mean'.* batch, average, probe"),
        ({"perturb": {"shake": {}}}, "perturbation 'shake'.* flip_signs, distort"),
        ({"bathc_size": 5}, "training .* bathc_size; .*batch_size"),
    ],
)
def test_wrong_settings__are_named_before_anything_is_written(run, tmp_path, arguments, message):
    with pytest.raises(BadSetting, match=message):
        run(**arguments)
    assert not (tmp_path / "data").exists()


def test_command__says_in_one_line_what_is_wrong(pytestconfig):
    command = [sys.executable, "-m", "pipelines.train", "digits", "--init", "xavier", "--optimizer", "sgd"]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr.startswith("pipelines.train: ") and "'xavier'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_drop_last__off_makes_the_rest_of_an_epoch_a_smaller_batch(run):
    folder = run(images=130, test_images=20, steps=None, epochs=2, drop_last=False)
    facts = json.loads((folder / "run.json").read_text())

    assert (facts["closed"], facts["describe"]["steps_per_epoch"]) == (2 * 3, 3)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 0, 0, 1, 1, 1]
    assert (rows[2]["accuracy"] * 2) % 1 == 0


def test_after_update__records_the_weights_one_update_later_beside_the_same_gradients(run):
    before = run(weights_every=1, gradients=True)
    after = run(weights_every=1, gradients=True, after_update=True, data="after")

    for step in (0, 12, STEPS - 1):
        torch.testing.assert_close(weights(after, step), weights(before, step + 1), rtol=0, atol=0)
    torch.testing.assert_close(weights(after, STEPS), weights(before, STEPS), rtol=0, atol=0)
    torch.testing.assert_close(gradients(after), gradients(before), rtol=0, atol=0)


def test_train__once_for_several_runs_records_what_each_alone_would(tmp_path):
    study = SETTINGS["studies"]["tiny"]
    variants = {
        "probe": {"gradient": "probe"},
        "batch": {},
        "later": {"after_update": True},
        "average": {"gradient": "average", "after_update": True},
    }
    section = study | {"inits": ["xavier_normal"], "seeds": [0], "variants": variants}
    runs = [Run("xavier_normal", "adam", 0, variant) for variant in variants]
    assert trainings(section, [*runs, runs[0]._replace(seed=1)]) == [runs, [runs[0]._replace(seed=1)]]

    train.train("tiny", section, runs, tmp_path / "together")
    for each in runs:
        train.train("tiny", section, [each], tmp_path / "alone")
        folders = [tmp_path / data / "snapshots" / "tiny" / each.name for data in ("together", "alone")]
        assert_same_run(*folders)
        described = [json.loads((folder / "run.json").read_text())["describe"] for folder in folders]
        assert described[0] == described[1] and described[0]["variant"] == each.variant
        assert not (folders[0] / STATE_FILE).exists()
        files = [tmp_path / data / "curves" / "tiny" / f"{each.name}.csv" for data in ("together", "alone")]
        assert files[0].read_text() == files[1].read_text()


def test_average__records_the_average_of_the_weights_to_the_end(run):
    plain, average = run(weights_every=1), run(weights_every=1, gradient="average", data="average")
    decays = [0.9 ** (STEPS - step) for step in range(STEPS + 1)]
    terms = [decay * weights(plain, step)["fc2.weight"].double() for step, decay in enumerate(decays)]

    torch.testing.assert_close(
        weights(average, STEPS)["fc2.weight"].double(), sum(terms) / sum(decays), rtol=1e-5, atol=1e-7
    )
    torch.testing.assert_close(weights(average, 0), weights(plain, 0), rtol=0, atol=1e-6)


def test_gain__is_named_in_the_run(run):
    plain, scaled = run(steps=1), run(steps=1, gain=1.5, data="scaled")

    assert json.loads((scaled / "run.json").read_text())["describe"]["gain"] == 1.5
    torch.testing.assert_close(weights(scaled, 0)["fc1.weight"], 1.5 * weights(plain, 0)["fc1.weight"])
