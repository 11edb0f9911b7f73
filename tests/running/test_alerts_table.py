import io

import numpy as np
import xarray as xr
from rich.console import Console

from trajlab.running.alerts_table import MAX_ROWS, show


def alerts(fires, rules=("Spike",), reasons=("",), places=None):
    """Return a result of checks of the first rule, (step, check)."""
    fires = np.asarray(fires, float)
    count = fires.shape[1]
    fired = (fires == 1).any(0)
    first = [float(np.flatnonzero(column == 1)[0]) if any(column == 1) else np.nan for column in fires.T]
    checks = {"first_step": first, "last_step": first, "duration": fires.sum(0)}
    result = xr.Dataset(
        {
            "fires": (("step", "check"), fires),
            "value": (("step", "check"), 7 * fires),
            "fired": ("rule", [int(fired.sum()), *[0] * (len(rules) - 1)]),
            "checked": ("rule", [count * (not reason) for reason in reasons]),
            "reason": ("rule", np.array(reasons, object)),
            **{name: ("check", np.array(values, float)) for name, values in checks.items()},
        },
        {"step": np.arange(len(fires)), "rule": np.array(rules, object)},
    )
    return result.assign_coords(
        rule_of=("check", np.array([rules[0]] * count, object)),
        place_of=("check", np.array(places or [f"w{i}" for i in range(count)], object)),
    )


def shown(result):
    out = io.StringIO()
    show(result, Console(file=out, width=200, soft_wrap=True))
    return out.getvalue().splitlines()


def test_show__lists_the_earliest_places_and_counts_the_others():
    count = MAX_ROWS + 2
    lines = shown(alerts(np.eye(count)[::-1]))  # the last place fires first
    assert lines[1].split() == ["Spike", f"w{count - 1}", "0", "0", "1", "7"]
    assert len(lines) == 1 + MAX_ROWS + 1 and "… and 2 other places" in lines[-1]


def test_show__names_what_is_quiet_and_what_could_not_be_checked():
    lines = shown(alerts([[0, 0]], ("Spike", "DeadRelu"), ("", "the run has no [ReLUs]")))
    assert lines == ["quiet        Spike", "not checked  DeadRelu: the run has no [ReLUs]"]


def test_show__of_several_runs_names_those_without_alerts():
    runs = xr.concat(
        [alerts([[1]]), alerts([[0]])], xr.Variable("run", ["a", "b"]), coords="minimal", compat="override"
    )
    lines = [line for line in shown(runs) if line]
    assert lines[0] == "a" and lines[2].startswith("Spike") and lines[3] == "b  nothing fires"
