import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import trajlab
from trajlab.figures import figure, panels
from trajlab.figures.marks.multiples import multiples
from trajlab.reports.findings import findings


def sparse(every):
    """A run whose gradients are recorded at every step, and whose weights at each so many."""
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((24 // every, 3, 4)).cumsum(0)}
    gradients = {"w": random.standard_normal((24, 3, 4))}
    recorded = trajlab.from_arrays(weights, steps=np.arange(0, 24, every)), trajlab.from_arrays(gradients)
    return trajlab.Trajectory(recorded[0].weights, recorded[1].weights)


@pytest.mark.parametrize(
    ("stage", "variable"), [("sign_flips", "total_minima"), ("sign_flips", "minima_rate"),
                            ("zero_gradients", "total_weight_change")]
)  # fmt: skip
def test_an_empty_figure_says_what_to_record(stage, variable):
    result = trajlab.run(stage, sparse(4)).compute()
    words = [text.get_text().replace("\n", " ") for text in figure(result, variable=variable).texts]
    assert words == [
        "No value is known: it needs weights at consecutive steps, recorded with when=bursts(every(100), length=2)."
    ]
    assert any("not known; it needs weights at consecutive steps" in finding.text for finding in findings(result))


@pytest.mark.parametrize("stage", ["sign_flips", "zero_gradients"])
def test_what_is_known_needs_no_words(stage):
    result = trajlab.run(stage, sparse(1)).compute()
    assert not figure(result, variable={"sign_flips": "total_minima"}.get(stage, "total_weight_change")).texts
    assert not any("not known" in finding.text for finding in findings(result))
    assert panels(result)


def test_multiples__of_units_show_the_first_run_of_a_group_and_of_shares_their_mean():
    values = np.arange(52.0).reshape(26, 1, 2)
    coords = {"run": [f"r{i}" for i in range(26)], "init": ("run", ["a"] * 13 + ["b"] * 13),
              "seed": ("run", [*range(13)] * 2)}  # fmt: skip
    for dim, expected in (("unit", values[0]), ("layer", values[:13].mean(0))):
        drawing = Figure(layout="constrained")
        multiples(xr.DataArray(values, {**coords, "step": [0, 1]}, ("run", dim, "step")), drawing)
        np.testing.assert_array_equal(drawing.axes[0].collections[0].get_array(), expected)
