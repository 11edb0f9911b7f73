import pytest
import yaml

from pipelines.settings import Run, generations, merged, read_studies, runs_of, training_of
from trajlab.errors import BadSetting

TRAINING = {
    "model": {"factory": "f", "arguments": {"width": 3}},
    "dataset": "digits",
    "steps": 5,
    "batch_size": 4,
    "weights_every": 1,
    "gradients": False,
    "probe": 2,
}
STUDY = {
    "inits": ["a", "b"],
    "optimizers": {"sgd": {}},
    "seeds": [0, 1],
    "training": TRAINING,
    "variants": {
        "again": {"parent": {"variant": "flipped", "step": -1}},
        "plain": None,
        "flipped": {"parent": {"variant": "plain", "step": 0}, "perturb": {"flip_signs": {"share": 0.5}}},
    },
}


def test_read_studies__puts_the_size_over_the_rest(tmp_path):
    file = tmp_path / "params.yaml"
    changes = {"studies": {"one": {"seeds": [0], "training": {"steps": 2}}, "two": None}}
    settings = {"size": "small", "sizes": {"small": changes, "published": None}, "studies": {"one": STUDY, "two": {}}}
    file.write_text(yaml.safe_dump(settings))
    small = read_studies(file)
    file.write_text(yaml.safe_dump(settings | {"size": "published"}))

    assert small == {"one": STUDY | {"seeds": [0], "training": TRAINING | {"steps": 2}}}
    assert read_studies(file) == {"one": STUDY, "two": {}}
    file.write_text(yaml.safe_dump(settings | {"size": "huge"}))
    with pytest.raises(BadSetting, match="size 'huge'.* published, small"):
        read_studies(file)


def test_runs__are_every_combination_and_come_after_their_parents():
    names = [run.name for run in runs_of(STUDY)]

    assert len(names) == len(set(names)) == 2 * 1 * 3 * 2
    assert names.index("a-sgd-plain-1") < names.index("a-sgd-flipped-1") < names.index("a-sgd-again-1")
    assert [{run.variant for run in part} for part in generations(STUDY)] == [{"plain"}, {"flipped"}, {"again"}]
    assert Run("a", "sgd", 1) in runs_of({key: value for key, value in STUDY.items() if key != "variants"})
    assert Run("a", "sgd", 1).name == "a-sgd-1"


def test_runs__from_pretrained_weights_are_those_whose_file_is_there(tmp_path):
    file = tmp_path / "weights.pth"
    section = STUDY | {"inits": ["a", "pretrained"], "training": TRAINING | {"pretrained": str(file)}}

    assert {run.init for run in runs_of(section)} == {"a"}
    file.touch()
    assert [run.init for run in runs_of(section)].count("pretrained") == 6
    with pytest.raises(BadSetting, match="names no file"):
        runs_of(section | {"training": TRAINING})


def test_variants__change_the_training():
    section = STUDY | {"variants": {"wide": {"model": {"arguments": {"width": 9}}, "steps": None, "epochs": 2}}}
    training = training_of(section, "wide")

    assert training.model == {"factory": "f", "arguments": {"width": 9}}
    assert (training.steps, training.epochs) == (None, 2)
    assert training_of(STUDY, "plain").model["arguments"] == {"width": 3}
    named = {"training": TRAINING | {"dataset": {"name": "d", "most": 5}}, "variants": {"a": {"dataset": {"share": 1}}}}
    assert training_of(STUDY | named, "a").dataset == {"name": "d", "most": 5, "share": 1}
    with pytest.raises(BadSetting, match="variant 'wild'.* wide"):
        training_of(section, "wild")


@pytest.mark.parametrize(
    ("changes", "pair"),
    [
        ({"steps": None}, "steps or epochs"),
        ({"epochs": 2}, "steps or epochs"),
        ({"weights_every": None}, "weights_every or weights_at"),
        ({"weights_at": [0]}, "weights_every or weights_at"),
    ],
)
def test_training__takes_one_of_two(changes, pair):
    section = {"training": merged(TRAINING, changes)}
    with pytest.raises(BadSetting, match=pair):
        training_of(section, "")


def test_training__records_at_chosen_steps():
    training = training_of({"training": merged(TRAINING, {"weights_every": None, "weights_at": [0, 3]})}, "")
    assert (training.weights_every, training.weights_at) == (None, [0, 3])


def test_variants__that_start_from_each_other_are_named():
    circle = {"x": {"parent": {"variant": "y", "step": 0}}, "y": {"parent": {"variant": "x", "step": 0}}}
    with pytest.raises(BadSetting, match="x, y restart from each other"):
        runs_of(STUDY | {"variants": circle})


def test_variants__may_restrict_inits_and_optimizers():
    section = STUDY | {
        "optimizers": {"sgd": {}, "adam": {}},
        "variants": {"all": None, "few": {"inits": ["b"], "optimizers": ["adam"], "gain": 2.0}},
    }
    runs = runs_of(section)

    assert {run.name for run in runs if run.variant == "few"} == {"b-adam-few-0", "b-adam-few-1"}
    assert sum(run.variant == "all" for run in runs) == 8
    assert training_of(section, "few").gain == 2.0
