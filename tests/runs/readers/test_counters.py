import argparse

import numpy as np
import pytest

from trajlab.runs.readers.counters import as_count, counters_of


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"global_step": np.int64(5), "lr": 0.1}, {"global_step": "5"}),
        ({"loops": {"epoch": 2.0, "inner": {"step": "0070"}}}, {"loops.epoch": "2", "loops.inner.step": "70"}),
        ({"optimizer": {"step": 9}, "lr_scheduler": {"epoch": 3}, "rng_state": {"step": 1}}, {}),
        ({"optimizer_history": [{"num_updates": 3}, {"num_updates": 7}]}, {"optimizer_history.num_updates": "7"}),
        ({"args": argparse.Namespace(epoch=4)}, {"args.epoch": "4"}),
        ({"a": {"b": {"c": {"step": 1}}}}, {}),
        ({"step": True, "epoch": 2.5, "iter": "x", 3: {"step": 1}}, {}),
        ([1, 2], {}),
    ],
)
def test_counters_of__are_whole_numbers_beside_the_weights(content, expected):
    assert counters_of(content) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("-7", -7), ("7.0", None), ("٣", None), (float("nan"), None), (1e18, None)]
)
def test_as_count__takes_what_fits_into_64_bits(value, expected):
    assert as_count(value) == expected
