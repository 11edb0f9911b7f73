import pytest

from trajlab.runs.readers.names import parse


@pytest.mark.parametrize(
    ("stem", "numbers"),
    [
        ("epoch=3-step=1500", [(3, "epoch"), (1500, "step")]),
        ("ckpt_10k", [(10_000, "checkpoint")]),
        ("step_1e5", [(100_000, "step")]),
        ("2024-01-31_step7", [(7, "step")]),
        ("a1b2c3d4_epoch2", [(2, "epoch")]),
        ("model-00001-of-00002", []),
        ("resnet50_12", [(50, "net"), (12, "plain")]),
        ("seed3_epoch-1", [(3, "identity"), (1, "epoch")]),
        ("epoch_5_loss_0.25", [(5, "epoch")]),
        ("best-v1", []),
        ("model (2)", []),
        ("5_epochs", [(5, "epoch")]),
        ("step_99999999999999999999", []),
        ("", []),
    ],
)
def test_parse__tells_what_each_number_is(stem, numbers):
    assert [(number.value, number.role) for number in parse(stem).numbers] == numbers


@pytest.mark.parametrize(
    ("stem", "copy"), [("best", True), ("last-v3", True), ("epoch1~", True), ("epoch1 (1)", True), ("lastly", False)]
)
def test_names__that_say_that_a_checkpoint_is_a_copy(stem, copy):
    assert parse(stem).is_copy is copy


def test_units__join_words_of_one_kind():
    (first, second) = (parse(stem).numbers[0] for stem in ("iter_5", "iterations-5"))
    assert first.unit == second.unit == "iteration" and parse("loss_5").numbers[0].unit == ""


@pytest.mark.parametrize(
    ("stem", "separate"), [("model5", True), ("x_foo5", False), ("foo_5", True), ("net5", True), ("5", True)]
)
def test_numbers__joined_to_a_word_are_not_separate(stem, separate):
    assert parse(stem).numbers[0].is_separate is separate
