import numpy as np
import pytest

from trajlab.runs.readers.formats import Entry, Header
from trajlab.runs.readers.names import parse
from trajlab.runs.readers.step_evidence import Stated, is_one_network, plain_sources, sources_of


def stated(name, shapes=None, **counters):
    entries = {key: Entry(shape, np.dtype("f4"), 0) for key, shape in (shapes or {}).items()}
    return Stated(name, parse(name), counters, {name: Header(entries, {}, lambda path, key: np.empty(0))})


def words(*checkpoints):
    return [source.words for source in sources_of(checkpoints, checkpoints)]


def test_sources_of__counters_of_steps_go_before_names_and_epochs_last():
    checkpoints = [
        stated("epoch_1_step_10", global_step=10, epoch=1),
        stated("epoch_2_step_20", global_step=20, epoch=2),
    ]
    assert words(*checkpoints) == [
        "global_step in the file", "step in the name", "epoch in the file", "epoch in the name",
    ]  # fmt: skip
    first = sources_of(checkpoints, checkpoints)[0]
    assert first.steps == {"epoch_1_step_10": 10, "epoch_2_step_20": 20} and not first.coarse


def test_sources_of__a_number_behind_checkpoint_is_finer_where_it_is_larger_than_the_epoch():
    finer = stated("checkpoint-500", epoch=1), stated("checkpoint-1000", epoch=2)
    assert words(*finer)[0] == "checkpoint in the name"
    same = stated("checkpoint-1", epoch=1), stated("checkpoint-2", epoch=2)
    assert words(*same) == ["epoch in the file", "checkpoint in the name"]


def test_plain_sources__numbers_that_differ_between_names_of_one_network():
    names = [stated("a_2_x_7", {"w": (2,)}), stated("a_2_x_9", {"w": (2,)})]
    (source,) = plain_sources(names, [])
    assert source.words == "number behind 'a_*_x_' in the name" and list(source.steps.values()) == [7, 9]
    assert not list(plain_sources([stated("x_a7", {"w": (2,)}), stated("x_a9", {"w": (2,)})], []))  # joined to a word
    other = stated("a_2_x_9", {"v": (2,)})
    assert not list(plain_sources([names[0], other], []))


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"w": (2,), "b": (3,)}, True),
        ({"module.w": (2,), "b": (9,)}, True),
        ({"w": (5,), "b": (9,)}, False),
        ({"w": (2,)}, False),
    ],
)
def test_is_one_network__nearly_all_names_and_half_of_the_shapes(second, expected):
    assert is_one_network([stated("a", {"w": (2,), "b": (3,)}), stated("b", second)]) is expected
