from trajlab.explorer.turns import Turns, cheapest_first
from trajlab.stages import stage_names


def test_all_stages_are_computed_and_sums_of_weights_first():
    assert sorted(cheapest_first()) == stage_names()
    assert cheapest_first()[0] == "drift"
    assert cheapest_first().index("spectrum") < cheapest_first().index("embedding")


def test_a_view_that_waits_comes_first_and_then_the_oldest():
    turns = Turns(["a", "b", "c"])
    turns.hurry("c")
    order = []
    for fingerprint in (1, 1, 1, 1, 2, 2, 3, 3, 3, 3):
        name = turns.next(str(fingerprint))
        order.append(name)
        if name is not None:
            turns.take(name, str(fingerprint))
    assert order == ["c", "a", "b", None, "c", "a", "b", "c", "a", None]


def test_a_stage_that_its_estimate_shows_to_be_slow_comes_after_those_that_are_cheap():
    turns = Turns(["alerts", "drift", "spectrum", "embedding"])
    estimates = {"alerts": 60.0, "drift": 0.0, "spectrum": 1e4, "embedding": 0.0}
    order = []
    while (name := turns.next("files")) is not None:
        turns.take(name, "files")
        if not turns.gives_way(name, estimates[name], "files"):
            order.append(name)
    assert order == ["drift", "alerts", "embedding", "spectrum"]  # a replay is taken to need two minutes


def test_a_result_that_a_view_waits_for_gives_way_to_none():
    turns = Turns(["alerts", "drift"])
    turns.hurry("alerts")
    turns.take(turns.next("files"), "files")
    assert turns.was_taken("alerts") and not turns.gives_way("alerts", 1e6, "files")
    assert turns.next("files") == "drift"
