import re

import pytest

from trajlab.runs.readers.step_patterns import steps_by, suggested


@pytest.mark.parametrize(
    ("pattern", "names", "steps", "factor"),
    [
        (r"(\d+)k?", ["a1", "a10", "b"], {"a1": 1, "a10": 10}, 1),
        (r"_(.*)", ["a_10k", "a_2M"], {"a_10k": 10_000, "a_2M": 2_000_000}, 1),
        (r"_(.*)", ["a_0.25", "a_1", "a_x", "a_"], {"a_0.25": 25, "a_1": 100}, 100),
        (r"_(.*)", ["a_1e3", "a_inf", "a_1e99", "a_٣"], {"a_1e3": 1000}, 1),
        (r"x(\d+)?", ["x", "x3"], {"x3": 3}, 1),
    ],
)
def test_steps_by__are_whole_multiples_of_a_common_fraction(pattern, names, steps, factor):
    assert steps_by(re.compile(pattern), names) == (steps, factor)


def suggestions(*stems):
    names = [f"{stem}.pt" for stem in stems]
    return suggested(names, dict(zip(names, stems, strict=True)))


def test_suggested__each_tells_the_steps_apart():
    names = ["run3_ep1_7.pt", "run3_ep2_9.pt"]
    patterns = suggested(names, {name: name[:-3] for name in names})
    assert patterns
    for pattern in patterns:
        steps, _ = steps_by(re.compile(pattern), names)
        assert len(set(steps.values())) == 2


def test_suggested__no_measure_and_nothing_that_repeats():
    assert not any("loss" in pattern for pattern in suggestions("e1_loss5", "e2_loss6"))
    assert suggestions("a_1", "b_1") == [] and suggestions() == []


def test_suggested__escapes_what_is_special_in_a_pattern():
    names = ["a(1)+5.pt", "a(1)+6.pt"]
    for pattern in suggested(names, {name: name[:-3] for name in names}):
        assert steps_by(re.compile(pattern), names)[0]
