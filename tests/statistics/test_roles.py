"""Many rows by role and block, in groups, figures and findings."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import trajlab
from trajlab.figures import panels
from trajlab.figures.marks.heat import heat
from trajlab.reports.findings import findings
from trajlab.statistics.extremes import extreme, of_weights
from trajlab.statistics.roles import groups_of

BLOCKS = 12
NAMES = ["wte.weight", *(f"h.{block}.{leaf}" for block in range(BLOCKS)
                         for leaf in ("ln_1.weight", "attn.c_proj.weight", "attn.c_proj.bias", "mlp.c_fc.weight")),
         "ln_f.bias"]  # fmt: skip


@pytest.fixture(scope="module")
def drift():
    """Weights of attn.c_proj move most in block 2; a bias that began at 0 moves by any multiple of its norm."""
    matrix = np.random.default_rng(0).standard_normal((6, 6))
    weights = {}
    for name in NAMES:
        start = np.ones(6) if name.endswith("ln_1.weight") else matrix
        start = 1e-9 * np.ones(6) if name.endswith("bias") else start
        factor = (
            1 + (5 - abs(int(name.split(".")[1]) - 2) / 4) * ("attn.c_proj.weight" in name) if name[0] == "h" else 1
        )
        weights[name] = np.stack([start + 0.01 * step * factor for step in range(5)])
    return trajlab.run("drift", trajlab.from_arrays(weights)).compute()


def test_groups_of__rows_by_role_with_biases_and_norms_below():
    kinds = ["norm" if "ln" in name else "bias" if name.endswith("bias") else "linear" for name in NAMES]
    groups = groups_of(NAMES, kinds)
    assert [group.label for group in groups] == [
        "wte", "attn.c_proj", "mlp.c_fc", "ln_1", "attn.c_proj.bias", "ln_f.bias",
    ]  # fmt: skip
    assert sorted(member for group in groups for member in group.members) == list(range(len(NAMES)))
    assert [NAMES[member] for member in groups[1].members] == [f"h.{i}.attn.c_proj.weight" for i in range(BLOCKS)]
    assert groups_of(NAMES[:20]) is None and groups_of([f"layer{i}" for i in range(99)]) is None


def test_heat__many_parameters_are_drawn_by_role(drift):
    array = drift["relative"]
    ax = Figure(figsize=(7, 6)).add_subplot()
    mesh = heat(array.transpose("parameter", "step"), ax)
    order = [member for group in groups_of(NAMES, array["kind"].values.tolist()) for member in group.members]
    shown = np.asarray(mesh.get_array())[:, 1:]  # zeros at the start are moved to the end of the scale
    np.testing.assert_array_equal(shown, array.transpose("parameter", "step").values[order, 1:])
    assert {"attn.c_proj", "mlp.c_fc", "ln_1"} <= {text.get_text() for text in ax.get_yticklabels()}
    assert "by role" in panels(drift)[0].caption


def test_heat__few_parameters_stay_in_network_order(drift):
    array = drift["relative"].isel(parameter=slice(6)).transpose("parameter", "step")
    ax = Figure().add_subplot()
    np.testing.assert_array_equal(np.asarray(heat(array, ax).get_array())[:, 1:], array.values[:, 1:])


def test_findings__speak_of_roles_and_blocks_and_of_no_bias_that_began_at_zero(drift):
    texts = [finding.text for finding in findings(drift)]
    assert texts[0].startswith("`attn.c_proj` in block 2 moved most")
    assert "least in block 11" in texts[1] and "`attn.c_proj` moved most in block 2" in texts[1]
    assert not any("bias" in text for text in texts)


def test_of_weights__masks_biases_and_norms_unless_nothing_else_is_left():
    array = xr.DataArray([5.0, 1.0], dims="parameter", coords={"kind": ("parameter", ["bias", "linear"])})
    assert extreme(of_weights(array)).value == 1
    alone = array.isel(parameter=[0])
    xr.testing.assert_identical(of_weights(alone), alone)
