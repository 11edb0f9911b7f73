"""What the README of an experiment says about its publication stands in the section `published` of its params.yaml."""

import re
from pathlib import Path

import pytest
import yaml

from pipelines import claims
from pipelines.differences import UNKNOWN, _flat

FOLDER = Path(claims.__file__).parent
READMES = sorted(FOLDER.glob("*/README.md"))

SETTINGS = {
    "batches": "batch_size", "epochs": "epochs", "learning rate": "optimizers.adam.lr", "network": "model",
    "optimizer": "optimizers", "points": "dataset.name", "scaling": "dataset.scaling", "training": "optimizers",
}  # fmt: skip
"""Names of the settings by the words of a README."""


def clauses(path, pattern):
    """Return the clauses of a README, up to a period, colon or semicolon, that match a pattern."""
    text = path.read_text(encoding="utf-8").split("\n\n", 1)[1].replace("\n", " ")
    return [clause for clause in re.split(r"(?<=[.;:]) ", text) if re.search(pattern, clause)]


def publication_of(path):
    return yaml.safe_load((path.parent / "params.yaml").read_text(encoding="utf-8"))["published"]


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_readme__what_is_unknown_in_the_source_is_so_in_the_table(path):
    stated = [dict(_flat(settings)) for settings in publication_of(path)["settings"].values()]
    for clause in clauses(path, "unknown in the source"):
        words = [word for word in SETTINGS if word in clause.lower()]
        assert words, clause
        for word in words:
            assert any(settings.get(SETTINGS[word]) == UNKNOWN for settings in stated), (clause, word)


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_readme__numbers_of_the_publication_are_in_the_settings(path):
    numbers = set(re.findall(r"\d+", (path.parent / "params.yaml").read_text(encoding="utf-8").replace(",", "")))
    for clause in clauses(path, r"^(Published (is|are)|The (source|publication) )"):
        assert set(re.findall(r"\d+", clause.replace(",", ""))) <= numbers, clause


def test_readmes__are_of_all_experiments_and_speak_of_their_publication():
    assert {path.parent.name for path in READMES} == {path.parent.name for path in FOLDER.glob("*/claims.py")}
    assert sum(len(clauses(path, "unknown in the source")) for path in READMES) >= 4
    assert sum(len(clauses(path, "^(Published|The source)")) for path in READMES) >= 3
