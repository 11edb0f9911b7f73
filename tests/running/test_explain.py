import numpy as np
import pytest

import trajlab
from tests.running.planted import CAUSES, STEP, plant
from trajlab.errors import BadSetting, MissingData
from trajlab.running.explain import as_dataset, explain

CHEAP = ("exploding layer", "overflow")


def correct(name: str, seeds: range) -> int:
    return sum(CAUSES[name].is_first(explain(plant(name, seed), STEP + 10, window=60)) for seed in seeds)


@pytest.mark.parametrize("name", CHEAP)
def test_explain__names_the_planted_layer_and_step_first(name):
    assert correct(name, range(1)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", CAUSES)
def test_explain__names_the_planted_cause_first_in_nine_of_ten_seeds(name):
    assert correct(name, range(10)) >= 9


@pytest.mark.slow
def test_explain__says_nothing_of_a_healthy_run():
    from tests.stages.alerts.cases import HEALTHY

    quiet = [not explain(case.train(), 235, window=50).events for case in HEALTHY[:10]]
    assert sum(quiet) >= 8


@pytest.fixture
def run(rng):
    gradients = {name: rng.standard_normal((200, 6, 5)) for name in ("a.weight", "b.weight", "c.weight")}
    gradients["b.weight"][120:] *= 40
    weights = {name: 1 + 1e-3 * rng.standard_normal((200, 6, 5)).cumsum(0) for name in gradients}
    weights["b.weight"][123:] += 1.0
    return trajlab.from_arrays(weights, gradients, metrics={"loss": np.exp(0.1 * rng.standard_normal(200))})


def test_explain__tells_what_began_first_in_plain_words(run):
    explanation = explain(run, 130)
    assert explanation.first == 80 and explanation.events[0][:4] == (120, "b.weight", "gradient norm", "jump")
    assert explanation.sentences[0].startswith("Step 120: the gradient norm of `b.weight` rose 4")
    assert "-fold and stayed there; so did that of the whole network." in explanation.sentences[0]
    assert explanation.sentences[1].startswith("Step 123: the update of `b.weight` rose")
    assert explanation.sentences[-1].startswith(
        "The gradient of `b.weight` was unusual first, before any weight moved unusually"
    )
    assert repr(explanation) == str(explanation) and str(explanation).count("\n") == len(explanation.sentences) - 1
    data = as_dataset(explanation.events)
    assert data.step.values.tolist() == sorted(data.step.values) and set(data) == set(explanation.events[0]._fields)


def test_explain__nothing_unusual_is_said(run, rng):
    explanation = explain(run, 110)
    assert explanation.events == [] and explanation.sentences == ["Nothing was unusual from step 60 to step 110."]
    few = trajlab.explain(trajlab.from_arrays({}, metrics={"loss": np.exp(0.1 * rng.standard_normal(11))}), 10)
    assert few.sentences == ["Nothing can be said of steps 0 to 10: no series has more than 11 values."]
    assert explain(run, 119).events == [] and explain(run, 130, window=2).events == []


def test_explain__without_gradients_no_order_is_claimed(run):
    alone = trajlab.from_arrays({name: array.values for name, array in run.weights.items()})
    assert "before any gradient" not in explain(alone, 130).sentences[-1]
    assert explain(alone, 130).sentences[-1].startswith("Only `b.weight` moved: ")


def test_explain__what_can_not_be_explained(run):
    with pytest.raises(MissingData, match="cannot explain step 900: steps 0 to 199 are recorded"):
        explain(run, 900)
    with pytest.raises(BadSetting, match="window=0"):
        explain(run, 130, window=0)
    with pytest.raises(BadSetting, match="change_points has no setting"):
        explain(run, 130, threshold=3)
