import json
from pathlib import Path

import pytest
import torch
import yaml

from pipelines import claims, differences
from pipelines.claims import claims_of
from pipelines.differences import Publication, verdict_of
from pipelines.settings import training_of
from pipelines.train import _build as build
from trajlab.errors import BadSetting
from trajlab.reports.claims import ANOTHER, REPEATED, SMALLER, UNSTATED, Difference

FOLDER = Path(claims.__file__).parent
EXPERIMENTS = sorted(file.parent.name for file in FOLDER.glob("*/claims.py"))

PARAMS = {
    "size": "small",
    "sizes": {"small": {"studies": {"a": {"training": {"images": 100}}}}, "published": {}},
    "studies": {
        "a": {
            "inits": ["x", "y"],
            "optimizers": {"adam": {"class": "Adam", "lr": 0.1}},
            "seeds": [0, 1, 2],
            "variants": {"exact": {}, "other": {"gain": 2.0}, "one": {"inits": ["x"]}},
            "training": {
                "model": {"factory": "m:f", "arguments": {"width": 3}},
                "dataset": "mnist", "epochs": 5, "batch_size": 10, "weights_every": 1, "gradients": 4, "probe": 2,
            },
        }
    },
    "stage": {"tau": [1, 2]},
    "published": {
        "source": "somewhere",
        "settings": {
            "a": {
                "inits": ["x", "y"],
                "optimizers": {"adam": {"class": "Adam", "lr": 0.1}},
                "seeds": 1,
                "model": {"factory": "m:f", "arguments": {"width": 3}},
                "dataset": {"name": "mnist", "scaling": "unknown"},
                "images": "all",
                "epochs": 5,
                "gain": 1.0,
                "gradients": True,
                "stage": {"tau": [1, 2]},
            }
        },
        "claims": {
            "exactly": {"a": "exact"}, "otherwise": {"a": ["exact", "other"]}, "asked": "ours", "none": {"b": ""},
        },
    },
}  # fmt: skip


@pytest.fixture
def publication(tmp_path):
    """Return the publication, after changes of the settings at the published size."""

    def publication(recorded=None, size="published", stated=None, **training):
        settings = json.loads(json.dumps(PARAMS)) | {"size": size}
        settings["studies"]["a"]["training"] |= {"gradients": True} | training
        settings["published"]["settings"]["a"] |= stated or {}
        file = tmp_path / "params.yaml"
        file.write_text(yaml.safe_dump(settings))
        return Publication(file, recorded)

    return publication


def differing(rows):
    return {row.difference.setting for row in rows if row.verdict != REPEATED}


def test_verdict__is_repeated_where_all_stated_settings_agree(publication):
    verdict, rows = publication({"a": 60_000}).of_claim("exactly")

    assert verdict == REPEATED
    assert rows == [Difference("dataset.scaling", UNSTATED, "default")]


@pytest.mark.parametrize(
    ("changes", "setting", "here"),
    [
        ({"images": 100}, "images", "100"),
        ({"epochs": 4}, "epochs", "4"),
        ({"epochs": None, "steps": 600, "images": 60_000}, "epochs", "0.1"),
        ({"gradients": 4}, "gradients", "4"),
    ],
)
def test_verdict__is_a_smaller_size_where_only_less_was_done(publication, changes, setting, here):
    rows = publication({"a": 60_000}, **changes).of_variant("a", "exact")

    assert verdict_of(rows) == SMALLER and setting in differing(rows)
    assert next(row.difference.here for row in rows if row.difference.setting == setting) == here


def test_verdict__counts_the_images_that_the_results_have(publication):
    assert publication({"a": 10_000}).of_claim("exactly")[0] == SMALLER
    assert publication({"a": 60_000}).of_claim("exactly")[0] == REPEATED
    assert verdict_of(publication(dataset={"name": "mnist", "most": 500}).of_variant("a", "exact")) == SMALLER
    assert verdict_of(publication(size="small").of_variant("a", "exact")) == SMALLER
    assert verdict_of(publication({"a": 60_000}).of_variant("a", "one")) == SMALLER


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"gain": 1.5}, "gain"),
        ({"model": {"factory": "m:f", "arguments": {"width": 3, "depth": 2}}}, "model.arguments"),
        ({"dataset": {"name": "fashion_mnist"}}, "dataset.name"),
    ],
)
def test_verdict__is_another_experiment_where_another_setting_differs(publication, changes, setting):
    rows = publication({"a": 60_000}, **changes).of_variant("a", "exact")

    assert verdict_of(rows) == ANOTHER and setting in differing(rows)


def test_verdict__of_several_variants_is_the_worst(publication):
    verdict, rows = publication({"a": 60_000}).of_claim("otherwise")

    assert verdict == ANOTHER and Difference("gain", "1", "2") in rows
    assert publication().of_claim("asked")[0] == ANOTHER
    stated = {"variants": {"exact": {"gain": 1.0}, "one": {}}}
    assert differing(publication({"a": 60_000}, stated=stated).of_variant("a", "other")) >= {"variant", "gain"}


@pytest.mark.parametrize(("claim", "message"), [("unheard", "unheard"), ("none", "match no study")])
def test_claims__that_are_compared_with_nothing_are_named(publication, claim, message):
    with pytest.raises(BadSetting, match=message):
        publication().of_claim(claim)


def test_params__without_a_publication_are_named(tmp_path):
    (tmp_path / "params.yaml").write_text("studies: {}")
    with pytest.raises(BadSetting, match="published"):
        Publication(tmp_path / "params.yaml")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiments__state_what_each_claim_and_each_variant_differs_in(experiment):
    publication = Publication(FOLDER / experiment / "params.yaml")

    assert set(publication.stated["claims"]) == {function.__name__ for function in claims_of(experiment)}
    for name in publication.stated["claims"]:
        assert publication.of_claim(name)[0] in (REPEATED, SMALLER, ANOTHER)
    for study in publication.studies:
        for variant in publication.variants(study):
            assert publication.of_variant(study, variant)


@pytest.mark.parametrize(
    ("experiment", "study", "variant", "verdict"),
    [
        ("initialization", "initialization", "published", SMALLER),
        ("initialization", "initialization", "gain1", ANOTHER),
        ("optimization_insight", "optimization_insight", "published", SMALLER),
        ("optimization_insight", "optimization_insight", "batch", ANOTHER),
        ("squeeze_expand", "squeeze_expand", "squeeze_first8", SMALLER),
        ("parameter_dynamics", "parameter_dynamics/vgg19_cifar10", "plain", SMALLER),
        ("parameter_dynamics", "parameter_dynamics/small_vgg_cifar10", "plain", ANOTHER),
        ("parameter_dynamics", "parameter_dynamics/resnet18_cifar10", "negated_buffers", SMALLER),
        ("parameter_dynamics", "parameter_dynamics/resnet18_cifar10", "distorted", ANOTHER),
        ("looking_at_parameters", "looking_at_parameters/spirals_second", "", REPEATED),
        ("attention_bias", "attention_bias", "aligned100", ANOTHER),
    ],
)
def test_variants__are_what_they_are_called(experiment, study, variant, verdict):
    assert verdict_of(Publication(FOLDER / experiment / "params.yaml").of_variant(study, variant)) == verdict


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_networks__that_are_the_published_ones_have_the_published_number_of_parameters(experiment, tmp_path):
    """Each network whose settings do not differ, at the largest size, and each number that is stated."""
    settings = yaml.safe_load((FOLDER / experiment / "params.yaml").read_text())
    size = next((size for size, changes in settings["sizes"].items() if size == "published" or not changes), None)
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump(settings | {"size": size or settings["size"]}, sort_keys=False)
    )
    publication = Publication(tmp_path / "params.yaml")
    stated, counted = publication.stated.get("parameters", {}), set()
    for study, section in publication.studies.items():
        for variant in publication.variants(study):
            rows = publication.of_variant(study, variant)
            if any("model" in row.difference.setting and row.verdict == ANOTHER for row in rows):
                continue
            short = study.rpartition("/")[2]
            keys = [key for key in stated if key in (variant, short)] if isinstance(stated, dict) else [None]
            if isinstance(stated, dict) and not keys:
                keys = [key for key in stated if short.startswith(f"{key}_")]
            with torch.device("meta"):
                network = build(**training_of(section, variant).model)
            for key in keys[-1:]:
                count = sum(parameter.numel() for parameter in network.parameters())
                assert count == (stated if key is None else stated[key]), (study, variant)
                counted.add(key)
    assert counted == (set(stated) if isinstance(stated, dict) else {None})


def test_main__prints_what_differs(capsys):
    differences.main("initialization")
    printed = capsys.readouterr().out

    assert "initialization published: repeated in a smaller size" in printed
    assert "epochs: published 50, here 5" in printed and "gain: published 1.41421, here 1" in printed
