import numpy as np
import pytest
from safetensors.numpy import load_file

import trajlab
from trajlab.errors import OutputExists
from trajlab.running.prune_command import MASK_FILE, write_pruned


@pytest.fixture
def run():
    weights = np.array([[[1.0, -0.1, 3], [0.05, 5, -6]]] * 2, np.float32)
    return trajlab.from_arrays({"fc.weight": weights, "fc.bias": np.full((2, 2), 0.01, np.float32)}, steps=[0, 40])


def test_write_pruned__is_a_run_with_the_mask_of_what_was_kept(run, tmp_path):
    words = write_pruned(run, tmp_path / "out", threshold=0.5)
    pruned = trajlab.open(tmp_path / "out")
    assert pruned.steps.tolist() == [40] and pruned.weights["fc.weight"].values[0].tolist() == [[1, 0, 3], [0, 5, -6]]
    mask = load_file(tmp_path / "out" / MASK_FILE)
    assert mask["fc.weight"].tolist() == [[True, False, True], [False, True, True]]
    assert words.startswith("step 40: set 2 entries of 8 to zero (25 %)")


def test_write_pruned__never_overwrites(run, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputExists):
        write_pruned(run, tmp_path / "out", threshold=0.5)
