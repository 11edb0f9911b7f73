import numpy as np
import pytest

import trajlab
from trajlab.reports.findings import findings, headlines


def test_findings__tell_a_path_from_a_random_walk(rng):
    moves = rng.standard_normal((50, 40, 60))
    line = moves + np.outer(np.cos(np.arange(50) / 16), rng.standard_normal(2400)).reshape(moves.shape)
    walks = {"walk": np.cumsum(moves, axis=0), "line": np.cumsum(line, axis=0)}
    said = {
        name: findings(trajlab.run("projection", trajlab.from_arrays({"w": path})).compute())[0].text
        for name, path in walks.items()
    }

    assert "no sign of a path of lower dimension than that" in said["walk"]
    assert "a random walk seen at the same steps has 76 % in two" in said["walk"]
    assert "the path is of lower dimension than that" in said["line"]


def test_findings__do_not_rank_layers_of_which_the_same_share_is_told(rng):
    way = np.linspace(0, 1, 30)[:, None, None] * rng.standard_normal((20, 20))
    weights = {f"{name}.weight": way + 0.001 * rng.standard_normal((30, 20, 20)) for name in "ab"}
    texts = [finding.text for finding in findings(trajlab.run("projection", trajlab.from_arrays(weights)).compute())]
    assert any(text.startswith("Of all tensors, each keeps to a plane with > 99.99 %") for text in texts), texts


def test_headlines__name_the_component_that_a_share_is_of(example):
    actual = headlines(trajlab.run("projection", example).compute())

    share = actual["explained_variance_ratio"]
    assert share.attrs["long_name"].endswith("component 1") and share.attrs["total"]
    assert float(share) == pytest.approx(0.98, abs=0.02)


def test_findings__of_three_snapshots_say_nothing_of_a_plane_they_always_lie_in(rng):
    run = trajlab.from_arrays({name: rng.standard_normal((3, 20, 20)) for name in ("a.weight", "b.weight")})

    assert findings(trajlab.run("projection", run).compute()) == []
