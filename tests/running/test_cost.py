import pytest
import xarray as xr

from trajlab.running.cost import say_cost


@pytest.mark.parametrize(
    ("stage", "operations", "settings", "words"),
    [
        ("spectrum", 1.2e13, {"every": 1, "shuffle": True}, "10 minutes of a core, 1.2e+13 operations: --every 10"),
        ("alerts", 1.4e14, {"rank_collapse_steps": 50}, "1.9 hours of a core, 1.4e+14 operations: --rank-collapse"),
    ],
)
def test_say_cost__of_what_is_long_names_what_is_cheaper(capsys, stage, operations, settings, words):
    say_cost(stage, xr.Dataset(attrs={"operations": operations}), settings)
    text = " ".join(capsys.readouterr().err.split())
    assert f"{stage} takes about {words}" in text and "--parameters REGEX" in text
    assert ("--no-shuffle half" in text) == ("shuffle" in settings)


def test_say_cost__counts_all_runs_and_is_silent_about_what_is_short(capsys):
    short = xr.Dataset(attrs={"operations": 1e12})
    say_cost("spectrum", short, {})
    say_cost("drift", xr.Dataset(), {})
    assert not capsys.readouterr().err
    say_cost("spectrum", short.expand_dims(run=list("abc")), {})
    assert "2 minutes" in capsys.readouterr().err
