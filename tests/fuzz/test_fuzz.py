"""A short run of the fuzzer: past failures, and some cases of each target. ``make fuzz`` runs thousands."""

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


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    return Fuzz(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz__damaged_inputs_show_no_bug(name, fuzz):
    for seed in range(CASES):
        assert fuzz.case(name, seed) in ("refused", "accepted"), f"python -m tests.fuzz --target '{name}' --seed {seed}"
