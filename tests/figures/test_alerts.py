import numpy as np

import trajlab
from tests.figures.axes import row_names
from trajlab.figures import figure, panels


def test_alerts__are_orange_where_a_rule_fires_and_blank_where_it_was_not_checked(study):
    result = trajlab.run("alerts", study).compute()

    ax = figure(result, run="adam-0")

    assert row_names(ax) == [str(rule) for rule in result.rule.values]
    shown = ax.collections[0].get_array()
    rows = dict(zip(row_names(ax), shown, strict=True))
    assert rows["UnchangedTensor"].tolist() == [0, 0] + [1] * 19
    assert np.ma.getmaskarray(rows["DeadRelu"]).all()
    assert {panel.key for panel in panels(result)} == {"rules", "places", "runs"}


def test_alerts__what_was_found_lasts_until_it_is_checked_again():
    loss = np.append(np.linspace(3, 1, 21), np.linspace(2, 1, 12))
    run = trajlab.from_arrays({"w": np.ones((33, 1))}, metrics={"loss": loss})
    result = trajlab.run("alerts", run, published=True).compute()

    rows = dict(zip(result.rule.values, figure(result).collections[0].get_array(), strict=True))

    assert np.ma.filled(rows["LossNotDecreasing"], -1).tolist() == [-1] * 10 + [0] * 20 + [1] * 3
