import numpy as np
import pandas as pd
import pytest

from trajlab.explorer.run_filter import filtered

TABLE = pd.DataFrame(
    {"lr": [0.1, 1.0, None], "optimizer": ["adam", "SGD", "adamw"], "loss, last": [0.5, np.nan, 0.1]},
    ["seed0", "seed1", "other"],
)


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("", "seed0 seed1 other"), ("SEED", "seed0 seed1"), ("seed?", "seed0 seed1"), ("lr=1", "seed1"),
        ("lr<=1.0", "seed0 seed1"), ("lr>0.1", "seed1"), ("lr!=1", "seed0 other"), ("optimizer=adam", "seed0"),
        ("optimizer=ADAM*", "seed0 other"), ('"loss, last<0.3"', "other"), ("optimizer=adam seed1", ""),
    ],
)  # fmt: skip
def test_conditions(text, runs):
    assert filtered(TABLE, text) == (runs.split(), [])


@pytest.mark.parametrize("text", ["width=3", "lr<x", "lr<", "__class__=1", "lr.__init__>0"])
def test_what_is_not_readable_is_named_and_filters_nothing(text):
    assert filtered(TABLE, text) == (list(TABLE.index), [text])


def test_an_open_quote_is_passed_over():
    assert filtered(TABLE, '"seed0')[0] == ["seed0"]
