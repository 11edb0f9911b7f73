import numpy as np
import pytest

import trajlab
from trajlab.reports.findings import findings


@pytest.fixture
def walk(rng):
    return rng.standard_normal((20, 8, 6)).cumsum(0)


def said(*args):
    return [finding for finding in findings(trajlab.run("drift", *args).compute())]


def texts(*args):
    return [finding.text for finding in said(*args)]


def test_findings__two_snapshots_are_equal_to_the_bit(walk):
    walk[8] = walk[7]
    (finding,) = [
        each for each in said(trajlab.from_arrays({"w": walk}, steps=10 * np.arange(20))) if "bit" in each.text
    ]
    assert finding.text == "The snapshots at steps 70 and 80 are equal to the bit."
    assert finding.surprise >= 100


def test_findings__a_snapshot_jumps_and_comes_back(walk):
    walk[8] += 40.0
    (text,) = [text for text in texts(trajlab.from_arrays({"w": walk})) if "jumps" in text]
    assert text.startswith("The snapshot at step 8 jumps away from both neighbors and comes back: by ")
    walk[9:] += 40.0  # now it stays
    assert not [text for text in texts(trajlab.from_arrays({"w": walk})) if "jumps" in text]


def test_findings__a_tensor_moved_0_percent(walk):
    run = trajlab.from_arrays({"w": walk, "frozen": np.ones((20, 3)), "still": np.ones((20, 2))})
    assert "`frozen` and `still` moved 0 %: no entry ever changed." in texts(run)
    assert not [text for text in texts(trajlab.from_arrays({"w": walk})) if "0 %" in text]
    alone = texts(trajlab.from_arrays({"frozen": np.ones((20, 3))}))
    assert alone == ["All 20 snapshots hold the same weights: no entry of any tensor ever changed."]


def test_findings__runs_are_one_until_a_step(walk, rng):
    parted = walk.copy()
    parted[12:] += 1.0
    runs = {"a": walk, "b": parted, "c": walk.copy(), "d": rng.standard_normal((20, 8, 6)).cumsum(0)}
    result = texts({name: trajlab.from_arrays({"w": rows}) for name, rows in runs.items()})
    parts = "part at step 12 and are one before"
    assert f"`a` and `c` are one at every step; `a` and `b` {parts}; `b` and `c` {parts}." in result
    other = texts({name: trajlab.from_arrays({"w": runs[name]}) for name in "ad"})
    assert not [text for text in other if "part at" in text or "are one" in text]


def test_findings__a_healthy_walk_has_no_unusual_snapshot(walk):
    words = ("equal to the bit", "jumps", "moved 0 %", "part at")
    assert not [text for text in texts(trajlab.from_arrays({"w": walk})) if any(word in text for word in words)]
