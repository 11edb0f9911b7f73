"""A short run of the fuzzer: past failures, and some cases of each target. ``make fuzz`` runs thousands."""

import shutil

import pytest

from tests.fuzz.corpus import CORPUS
from tests.fuzz.fuzz import Fuzz, outcome
from tests.fuzz.targets import TARGETS

CASES = 8
"""Damaged inputs of each target."""


@pytest.mark.parametrize("name", CORPUS)
def test_fuzz__what_failed_once_is_refused_clearly(name, tmp_path):
    write, command = CORPUS[name]
    write(tmp_path)
    assert outcome([word.replace("{}", str(tmp_path)) for word in command]) in ("refused", "accepted")


REFUSED = {("recorded run", "dead_neurons")}
"""Commands that refuse the undamaged input: run.json names a function of Python's own as the model factory."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz__undamaged_inputs_are_accepted(name, tmp_path):
    (tmp_path / "input").mkdir()
    TARGETS[name].build(tmp_path / "input")
    for number, command in enumerate(TARGETS[name].commands):
        work = shutil.copytree(tmp_path / "input", tmp_path / str(number))
        result = outcome([word.replace("{}", str(work)).replace("{suffix}", "npz") for word in command])
        assert result == ("refused" if (name, command[0]) in REFUSED else "accepted"), command


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    return Fuzz(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz__damaged_inputs_show_no_bug(name, fuzz):
    for seed in range(CASES):
        assert fuzz.case(name, seed) in ("refused", "accepted"), f"python -m tests.fuzz --target '{name}' --seed {seed}"
