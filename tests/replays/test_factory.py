"""Which factories are imported; runs that are trusted are tested in tests/runs/test_trust.py."""

import sys

import pytest
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData, UntrustedCode
from trajlab.replays.factory import named_by_caller, named_by_run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module of its own, where the test runs."""
    (tmp_path / "net_of_the_folder.py").write_text("from torch.nn import Linear\ndef net():\n    return Linear(2, 3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "net_of_the_folder", raising=False)
    return tmp_path


@pytest.fixture
def run(checkpoints):
    """A run on disk that may name code."""
    return trajlab.open(checkpoints({"w": [[1.0], [2.0]]}), trust=True)


def test_named_by_caller__finds_modules_where_it_is_called(folder):
    assert named_by_caller("net_of_the_folder:net")().out_features == 3
    assert named_by_caller("torch.nn:Linear") is nn.Linear
    assert sys.path[0] == str(folder)


@pytest.mark.parametrize(
    ("factory", "error", "words"),
    [
        ("torch.nn", BadSetting, "'torch.nn': name it as package.module:function"),
        ("no_such_package.zoo:net", MissingData, "no_such_package.zoo:net.*folder of no_such_package to PYTHONPATH"),
        ("torch.nn:NoSuchLayer", MissingData, "torch.nn:NoSuchLayer.*NoSuchLayer"),
        ("net_of_the_folder:nett", MissingData, "has no nett; name one of its functions, such as net$"),
    ],
)
def test_named_by_caller__says_what_cannot_be_imported(folder, factory, error, words):
    with pytest.raises(error, match=words):
        named_by_caller(factory)


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("os:system", "os:system.*Python's standard library"),
        ("torch.nn:functional", "no function or nn.Module class of the package torch"),
        ("trajlab.sizes:BLOCK_BYTES", "no function or nn.Module class of the package trajlab"),
        ("tests.serving:needs_of", "of the package tests"),
    ],
)
def test_named_by_run__names_functions_and_modules_of_their_own_package_only(run, factory, words):
    with pytest.raises(UntrustedCode, match=words):
        named_by_run(run, factory)
    assert named_by_run(run, "torch.nn:Linear") is nn.Linear


def test_named_by_run__of_a_run_that_is_not_trusted_imports_nothing(run, folder):
    run.trusted = False
    with pytest.raises(UntrustedCode, match="net_of_the_folder:net.*--trust"):
        named_by_run(run, "net_of_the_folder:net")
    assert "net_of_the_folder" not in sys.modules
    in_memory = trajlab.from_arrays({"w": [[1.0]]})
    assert named_by_run(in_memory, "net_of_the_folder:net")().in_features == 2
