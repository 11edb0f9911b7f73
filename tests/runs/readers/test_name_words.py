import pytest

from trajlab.runs.readers.name_words import (
    COPIES,
    EPOCH,
    GENERIC,
    IDENTITY,
    MEASURE,
    OTHERS,
    ROLE_OF,
    SAVE,
    STEP,
    UNITS,
    role_of,
)


@pytest.mark.parametrize(
    ("word", "role", "part"),
    [
        ("step", STEP, "step"), ("GlobalStep", STEP, "GlobalStep"), ("ckptStep", STEP, "Step"),
        ("modelepoch", EPOCH, "epoch"),
        ("E", None, ""), ("e", EPOCH, "e"), ("checkpoint", SAVE, "checkpoint"), ("valLoss", MEASURE, "Loss"),
        ("seed", IDENTITY, "seed"), ("resnet", None, ""), ("steps2", None, ""),
    ],
)  # fmt: skip
def test_role_of__knows_words_alone_and_at_the_end_of_others(word, role, part):
    assert role_of(word) == (role, part)


def test_words__have_one_role_each():
    words = [word for text in (*UNITS.values(), *OTHERS.values()) for word in text.replace("/", " ").split()]
    assert len(words) == len(set(words)) == len(ROLE_OF)
    assert not (COPIES | GENERIC) & set(words)
