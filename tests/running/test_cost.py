import pytest
import xarray as xr

from trajlab.running.cost import say_cost, seconds_of

SPECTRUM, ALERTS = {"every": 1, "shuffle": True}, {"rank_collapse_steps": 50}


def said(capsys, name, operations, settings, *, steps=100, together=False, **attrs):
    result = xr.Dataset(coords={"step": range(steps)}, attrs={"operations": operations} | attrs)
    say_cost(name, result, settings, together=together)
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("stage", "operations", "settings", "words"),
    [
        ("spectrum", 1.2e13, SPECTRUM, "10 minutes of a core, 1.2e+13 operations: --every 10"),
        ("alerts", 1.4e14, ALERTS, "1.9 hours of a core, 1.4e+14 operations: --rank-collapse"),
    ],
)
def test_say_cost__of_what_is_long_names_what_is_cheaper(capsys, stage, operations, settings, words):
    text = said(capsys, stage, operations, settings)
    assert f"{stage} takes about {words}" in text and "--parameters REGEX" in text
    assert ("--no-shuffle half" in text) == ("shuffle" in settings)


@pytest.mark.parametrize(
    ("steps", "hint"), [(100, "--every 10 takes 11 %"), (8, "--every 7 takes 25 %"), (2, "--no-shuffle")]
)
def test_say_cost__proposes_a_share_of_the_steps_that_the_run_has(capsys, steps, hint):
    text = said(capsys, "spectrum", 1e14, SPECTRUM, steps=steps)
    assert f"operations: {hint}" in text and ("--every" in text) == (steps > 2)
    assert "--every" not in said(capsys, "spectrum", 1e14, SPECTRUM, steps=steps, every=10)


def test_say_cost__of_several_stages_names_settings_as_a_file_holds_them(capsys):
    text = said(capsys, "spectrum", 1e14, SPECTRUM, together=True)
    assert "in section spectrum of the file of --params, every: 10 takes 11 %, shuffle: false half" in text
    assert "--stages without spectrum leaves it out" in text and "--every" not in text and "--no-shuffle" not in text
    assert "section alerts of the file of --params, rank_collapse_steps: 2" in said(
        capsys, "alerts", 1e14, ALERTS, together=True
    )


def test_say_cost__counts_all_runs_and_is_silent_about_what_is_short(capsys):
    short = xr.Dataset(attrs={"operations": 1e12})
    say_cost("spectrum", short, {})
    say_cost("drift", xr.Dataset(), {})
    assert not capsys.readouterr().err
    say_cost("spectrum", short.expand_dims(run=list("abc")), {})
    assert "2 minutes" in capsys.readouterr().err


def test_seconds_of__counts_every_run():
    assert seconds_of(xr.Dataset(coords={"run": ["a", "b"]}, attrs={"operations": 2e10})) == 2.0
    assert seconds_of(xr.Dataset()) == 0.0
