import numpy as np
import xarray as xr

from trajlab.reports.findings.routing import routing


def result(load, dropped=0.0, entropy=(0.9, 0.9)):
    by_layer = {"relative_entropy": entropy, "load_entropy": (1, 1), "similarity": (0, 0), "dropped": (0, dropped)}
    variables = {name: (("step", "layer"), np.array(values, float)[:, None]) for name, values in by_layer.items()}
    variables["expert_load"] = (("step", "layer", "expert"), np.array([[load], [load]], float))
    labels = {"step": [0, 10], "layer": ["gate"], "expert": [0, 1, 2, 3], "experts": ("layer", [4])}
    return xr.Dataset(variables, labels, attrs={"capacity_factor": 1.25})


def test_routing__states_uneven_loads_dropped_choices_and_changes():
    texts = [finding.text for finding in routing(result([0.7, 0.1, 0.1, 0.1], 0.35, (0.9, 0.4)))]
    assert texts[0].startswith("Expert 0 of `gate` gets 2.8 times the even load at the end")
    assert "and expert 1 of `gate` 0.4 times." in texts[0]
    assert texts[1].startswith("With a capacity of 1.25 times the even load, 35 % of the choices in `gate`")
    assert texts[2] == "The entropy of the router fell most in `gate`: from 90 % to 40 %."


def test_routing__even_loads_are_left_out():
    assert routing(result([0.3, 0.2, 0.25, 0.25])) == []


def test_routing__loads_are_compared_by_the_experts_of_their_own_layer():
    wide = result([0.25, 0.25, 0.25, 0.25])
    narrow = result([0.5, 0.5, np.nan, np.nan]).assign_coords(layer=["narrow"], experts=("layer", [2]))
    assert routing(xr.concat([wide, narrow], "layer")) == []
