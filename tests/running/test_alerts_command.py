import numpy as np
import pytest
import typer

from tests.command_line import call
from tests.running.test_alerts_table import alerts
from trajlab.errors import AlertFired
from trajlab.running.alerts_command import ANY, _fail, _resolve_rules


@pytest.mark.parametrize("name", ["dead-relu", "DeadReLU", " dead_relu ", "DEADRELU"])
def test_rules__are_named_in_any_case(name):
    assert _resolve_rules([name, "any"]) == ["DeadRelu", ANY]


@pytest.mark.parametrize(("name", "words"), [("spikes", "did you mean Spike"), ("xyz", "choose AllZero, .*any")])
def test_rules__that_there_are_not_offer_close_names(name, words):
    with pytest.raises(typer.BadParameter, match=words):
        _resolve_rules([name])


@pytest.mark.parametrize(
    ("fires", "reasons", "fail_on", "words"),
    [
        ([[1]], ("", ""), ["Spike"], "Spike fired"),
        ([[1]], ("", "no ReLUs"), ["any"], "Spike fired"),
        ([[0]], ("", "no ReLUs"), ["DeadRelu", "Spike"], "DeadRelu could not be checked"),
        ([[1]], ("", "no ReLUs"), ["any", "DeadRelu"], "Spike fired; DeadRelu could not be checked"),
    ],
)
def test_fail__on_rules_that_fired_or_were_named_and_not_checked(fires, reasons, fail_on, words):
    result = alerts(fires, ("Spike", "DeadRelu"), reasons)
    with pytest.raises(AlertFired, match=words):
        _fail(result, fail_on)
    _fail(alerts([[0]], ("Spike", "DeadRelu"), ("", "no ReLUs")), ["any", "Spike"])


def test_alerts__of_a_path_that_exists_are_not_computed(tmp_path, checkpoints):
    folder = checkpoints({"w": np.ones((3, 4))})
    (tmp_path / "out.zarr").mkdir()
    done = call("alerts", folder, tmp_path / "out.zarr")
    assert done.returncode == 1 and "out.zarr" in done.stderr and not done.stdout
