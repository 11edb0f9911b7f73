import numpy as np
import pytest
import xarray as xr

from trajlab.stages.dead_neurons.life_table import MEANINGS, life_table

NAN = np.nan


def lives(rows, steps=None) -> xr.DataArray:
    """Lives as text, a unit each: "a" active, "d" dead, "?" not known; all of one layer."""
    codes = {"a": 0.0, "d": 1.0, "?": NAN}
    values = np.array([[codes[state] for state in row] for row in rows]).T[:, None]
    return xr.DataArray(values, {"step": np.arange(len(values)) if steps is None else steps}, ("step", "layer", "unit"))


def table_of(rows, steps=None):
    return {name: array.values.squeeze() for name, array in life_table(lives(rows, steps)).items()}


def by_loop(states, steps):
    """Compute the life table of one unit, a list of 0, 1 and NaN, step by step."""
    known = [(step, state) for step, state in zip(steps, states, strict=True) if not np.isnan(state)]
    if not known:
        return {}
    actual = {"deaths": 0, "revivals": 0, "first_active": NAN, "first_death": NAN, "last_death": NAN}
    actual |= {"dead_steps": 0, "longest_dead": 0, "longest_dead_span": 0, "dead_at_end": known[-1][1]}
    spell, begun, before = 0, None, None
    for step, state in known:
        if state == 0:
            if before == 1:
                actual["longest_dead_span"] = max(actual["longest_dead_span"], step - begun)
                if not np.isnan(actual["first_active"]):
                    actual["revivals"] += 1
            if np.isnan(actual["first_active"]):
                actual["first_active"] = step
            spell = 0
        else:
            if before == 0:
                actual["deaths"] += 1
                actual["last_death"] = step
                if np.isnan(actual["first_death"]):
                    actual["first_death"] = step
            if spell == 0:
                begun = step
            spell += 1
            actual["dead_steps"] += 1
            actual["longest_dead"] = max(actual["longest_dead"], spell)
            actual["longest_dead_span"] = max(actual["longest_dead_span"], step - begun)
        before = state
    return actual


def survival_by_loop(units, steps):
    """Compute the Kaplan–Meier estimate with late entry from lists of 0, 1 and NaN."""
    now, actual, risks = NAN, [], []
    for position in range(len(steps)):
        risk = deaths = 0
        for unit in units:
            been = [state for state in unit[:position] if not np.isnan(state)]
            entered = 0 in been
            died = entered and 1 in been[been.index(0) :]
            if entered and not died and not np.isnan(unit[position:]).all():
                risk += 1
                deaths += unit[position] == 1
        if np.isnan(now) and any(0 in unit[: position + 1] for unit in units):
            now = 1.0
        now *= 1 - deaths / risk if risk else 1
        actual.append(now)
        risks.append(risk)
    return actual, risks


def test_life_table__of_units_made_by_hand():
    table = table_of(["aaaaaa", "addada", "dddddd", "ddaaad", "aaaadd"], steps=[0, 1, 3, 7, 20, 21])

    expected = {
        "deaths": [0, 2, 0, 1, 1],
        "revivals": [0, 2, 0, 0, 0],
        "first_active": [0, 0, NAN, 3, 0],
        "first_death": [NAN, 1, NAN, 21, 20],
        "last_death": [NAN, 20, NAN, 21, 20],
        "dead_steps": [0, 3, 6, 3, 2],
        "longest_dead": [0, 2, 6, 2, 2],
        "longest_dead_span": [0, 6, 21, 3, 1],
        "dead_at_end": [0, 0, 1, 1, 1],
        "fraction_ever_dead": 4 / 5,
        "fraction_never_active": 1 / 5,
        "fraction_ever_died": 3 / 5,
        "fraction_died_for_good": 2 / 5,
        "at_risk": [0, 3, 2, 3, 3, 2],
        "survival": np.cumprod([1, 2 / 3, 1, 1, 2 / 3, 1 / 2]),
    }
    assert set(expected) == set(MEANINGS)
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values, err_msg=name)


def test_life_table__the_longest_span_need_not_be_the_spell_of_most_snapshots():
    table = table_of(["addddada"], steps=[0, 1, 2, 3, 4, 5, 6, 100])
    assert (table["longest_dead"], table["longest_dead_span"]) == (4, 94)


def test_life_table__gaps_are_passed_over():
    table = table_of(["a?d?da?a", "d??dd???", "????????", "a???????"])

    np.testing.assert_array_equal(table["deaths"], [1, 0, NAN, 0])
    np.testing.assert_array_equal(table["revivals"], [1, 0, NAN, 0])
    np.testing.assert_array_equal(table["first_death"], [2, NAN, NAN, NAN])
    np.testing.assert_array_equal(table["longest_dead"], [2, 3, NAN, 0])
    np.testing.assert_array_equal(table["longest_dead_span"], [3, 4, NAN, 0])
    np.testing.assert_array_equal(table["dead_at_end"], [0, 1, NAN, 0])
    assert table["fraction_ever_dead"] == 2 / 3, "a unit that is never known does not count"


def test_life_table__units_that_are_lost_are_censored():
    """Of two units at risk one is lost before the other dies."""
    table = table_of(["aa??", "aaad", "aaaa"])
    np.testing.assert_array_equal(table["at_risk"], [0, 3, 2, 2])
    np.testing.assert_array_equal(table["survival"], [1, 1, 1, 0.5])


def test_life_table__without_an_active_unit_survival_is_not_known():
    table = table_of(["ddd", "ddd"])
    assert np.isnan(table["survival"]).all()
    assert table["fraction_never_active"] == 1 and table["fraction_ever_died"] == 0


def test_life_table__one_step_is_a_whole_life():
    table = table_of(["a", "d"], steps=[40])
    np.testing.assert_array_equal(table["first_active"], [40, NAN])
    np.testing.assert_array_equal(table["longest_dead"], [0, 1])
    assert table["survival"] == 1 and table["at_risk"] == 0


@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_life_table__agree_with_a_loop_over_each_unit(rng, lost):
    shape = (25, 3, 40)
    dead = (rng.random(shape) < rng.random(shape[1:])).astype(float)
    dead[rng.random(shape) < lost] = NAN
    dead[:, 2, 30:] = NAN
    steps = np.cumsum(rng.integers(1, 9, shape[0]))
    table = life_table(xr.DataArray(dead, {"step": steps}, ("step", "layer", "unit")))

    for layer in range(shape[1]):
        for unit in range(shape[2]):
            expected = by_loop(dead[:, layer, unit].tolist(), steps)
            for name, array in table.items():
                if array.dims == ("layer", "unit"):
                    np.testing.assert_equal(array.values[layer, unit], float(expected.get(name, NAN)), name)
        survival, risk = survival_by_loop(dead[:, layer].T.tolist(), steps)
        np.testing.assert_allclose(table["survival"][:, layer], survival)
        np.testing.assert_array_equal(table["at_risk"][:, layer], risk)
    survival, risk = survival_by_loop(dead.reshape(len(dead), -1).T.tolist(), steps)
    np.testing.assert_allclose(table["total_survival"], survival)
    np.testing.assert_array_equal(table["total_at_risk"], risk)


def test_life_table__without_gaps_survival_of_those_active_from_the_start_is_a_plain_share(rng):
    dead = (rng.random((30, 1, 200)) < 0.05).astype(float)
    dead[0] = 0
    table = life_table(xr.DataArray(dead, {"step": np.arange(30)}, ("step", "layer", "unit")))
    died = np.maximum.accumulate(dead, axis=0)
    np.testing.assert_allclose(table["survival"], 1 - died.mean(2))
