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
