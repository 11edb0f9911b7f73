import pytest

from trajlab.errors import AmbiguousData, BadSetting, MissingData
from trajlab.runs.readers.names import parse
from trajlab.runs.readers.network_series import choose_series


def chosen(*names, series=None, weightless=()):
    aside = choose_series("runs/a", {name: parse(name) for name in names}, series, lambda name: name not in weightless)
    return [name for name in names if name not in aside]


TWO = ("net_G_1", "net_G_2", "net_D_1", "net_D_2")


def test_choose_series__one_network_needs_no_choice():
    assert chosen("epoch_1", "epoch_2", "best") == ["epoch_1", "epoch_2", "best"]


def test_choose_series__several_are_refused_with_an_option_that_works():
    with pytest.raises(AmbiguousData, match=r"net_G_\* \(2\), net_D_\* \(2\); choose one with --series 'net_G'"):
        chosen(*TWO)
    assert chosen(*TWO, series="net_G") == ["net_G_1", "net_G_2"] and chosen(*TWO, series="D_[12]$") == list(TWO[2:])
    assert chosen(*TWO, series="net_D_2") == ["net_D_2"]


def test_choose_series__files_without_weights_and_names_without_a_step_are_left_aside():
    assert chosen("g_1", "g_2", "opt_1", "opt_2", weightless=("opt_1", "opt_2")) == ["g_1", "g_2"]
    assert chosen("epoch_1", "epoch_2", "vocoder") == ["epoch_1", "epoch_2"]


@pytest.mark.parametrize(("series", "error"), [("net_X", MissingData), ("net_(", BadSetting)])
def test_choose_series__says_which_there_are(series, error):
    with pytest.raises(error, match=r"net_G_\* \(2\)"):
        chosen(*TWO, series=series)
