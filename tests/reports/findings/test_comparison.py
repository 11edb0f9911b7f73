import numpy as np
import xarray as xr

from trajlab.reports.findings.comparison import comparison

NAN = np.nan


def said(distance, **more):
    """Say what stands out of three runs at one step; arrays are (run, other)."""
    names = ["a", "b", "c"]
    over = ("run", "other", "step")
    zeros = np.zeros((3, 3, 1))
    arrays = {"relative_distance": (over, np.asarray(distance, float)[..., None]), "nonfinite": (over, zeros)}
    arrays |= {name: (over, np.asarray(values, float)[..., None]) for name, values in more.items()}
    return [finding.text for finding in comparison(xr.Dataset(arrays, {"run": names, "other": names, "step": [50]}))]


def matrix(ab, ac, bc):
    return [[NAN, ab, ac], [ab, NAN, bc], [ac, bc, NAN]]


def test_comparison__names_the_nearest_and_the_farthest_runs_once():
    (text,) = said(matrix(0.5, 1.4, 0.9))
    assert text == (
        "`a` and `b` ended nearest: 50 % of the mean of their norms apart; `a` and `c` farthest, 140 % apart "
        "(unrelated runs of one norm: 141 %)."
    )
    assert said(matrix(0, 0, 0)) == ["All runs ended with identical weights."]
    assert said(matrix(0, 0.5, 0.5))[0].startswith("`a` and `b` ended with identical weights; `a` and `c` farthest")
    assert said(matrix(NAN, NAN, NAN)) == []


def test_comparison__says_at_which_step_runs_are_compared_that_recorded_others():
    assert (
        "were at step 50, the last that they share, nearest"
        in said(matrix(0.5, 1, 1), unshared_steps=matrix(3, 0, 0))[0]
    )


def test_comparison__directions_count_beyond_three_deviations_of_chance():
    chance = matrix(0.1, 0.1, 0.1)
    related = said(matrix(1, 1, 1), update_cosine=matrix(0.8, 0.31, 0.29), update_cosine_null=chance)[1]
    assert "cosine 0.8 between displacements (chance: 0 ± 0.1); 2 of 3 pairs are related beyond chance" in related
    none = said(matrix(1, 1, 1), update_cosine=matrix(0.2, 0.1, 0), update_cosine_null=chance)[1]
    assert none == "No two runs moved in related directions: the largest cosine is 0.2 (chance: 0 ± 0.1)."
