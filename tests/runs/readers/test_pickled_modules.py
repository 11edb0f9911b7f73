import collections
import fractions
import io
import pickle
import zipfile

import pytest
import torch

from trajlab.runs.readers.pickled_modules import MOST_NAMED, describe_objects, describe_pickle


def saved(content, **how):
    raw = io.BytesIO()
    torch.save(content, raw, **how)
    return raw


@pytest.mark.parametrize("new", [True, False])
def test_describe_pickle__names_a_module_and_objects_and_nothing_for_weights(new):
    how = {"_use_new_zipfile_serialization": new}
    assert describe_pickle(saved(collections.OrderedDict(w=torch.ones(2)), **how)) == ""
    module = describe_pickle(saved({"model": torch.nn.Linear(1, 1)}, **how))
    assert "a whole pickled module (torch.nn.modules.linear.Linear)" in module and "state_dict" in module
    objects = describe_pickle(saved({"w": torch.ones(1), "lr": fractions.Fraction(1, 3)}, **how))
    assert "pickled objects (fractions.Fraction)" in objects and "run code" in objects


def test_describe_pickle__executes_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    said = describe_pickle(io.BytesIO(pickle.dumps(Evil())))
    assert "open" in said and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"PK\x03\x04", b"\x80\x04"])
def test_describe_pickle__of_damaged_bytes_is_empty(raw):
    assert describe_pickle(io.BytesIO(raw)) == ""


def test_describe_pickle__a_torchscript_archive_is_told():
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("net/constants.pkl", b"")
    assert "TorchScript" in describe_pickle(raw)


def test_describe_objects__shows_few_names():
    names = [f"a.B{i}" for i in range(MOST_NAMED + 2)]
    assert "a.B0, a.B1, a.B2 and 2 more" in describe_objects(names) and describe_objects([]) == ""
