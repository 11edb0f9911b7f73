import numpy as np
import pytest

import trajlab
from trajlab.runs.disk.lazy import rows_of
from trajlab.statistics.experts import expert_of, experts_apart, has_experts


@pytest.fixture
def experts(rng):
    return rng.normal(size=(2, 3, 4, 5)).astype(np.float32)


def test_experts_apart__of_a_folder_only_the_bytes_of_an_expert_are_read(experts, checkpoints):
    run = trajlab.open(checkpoints({"mlp.experts.up_proj": experts, "gate.weight": experts[:, 0]}, steps=[1, 2]))
    apart = experts_apart(dict(run.weights))
    assert list(apart) == ["gate.weight", *(f"mlp.experts.up_proj[{i}]" for i in range(3))]
    for number in range(3):
        array = apart[f"mlp.experts.up_proj[{number}]"]
        assert rows_of(array.data).shape == (4, 5)
        assert (array.attrs["expert"], array.attrs["unit_axes"], array.attrs["shape"]) == (number, [0], [4, 5])
        np.testing.assert_array_equal(array, experts[:, number])


def test_expert_of__an_array_in_memory_whose_matrices_are_in_by_out(experts):
    run = trajlab.from_arrays({"experts.up": experts, "experts.up_bias": np.ones((2, 3, 5), np.float32)})
    array = run.weights["experts.up"]
    assert has_experts(array) and array.dims == ("step", "expert", "in", "out")
    some = expert_of(array, 1)
    assert some.attrs["unit_axes"] == [1]
    np.testing.assert_array_equal(some, experts[:, 1])


def test_has_experts__not_of_a_convolution(rng):
    assert not has_experts(trajlab.from_arrays({"conv.weight": rng.normal(size=(2, 3, 4, 5))}).weights["conv.weight"])
