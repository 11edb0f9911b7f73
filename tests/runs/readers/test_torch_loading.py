import argparse
import fractions
import io
import pathlib
import threading

import ml_dtypes
import numpy as np
import pytest
import torch

from trajlab.errors import DamagedData
from trajlab.runs.readers.state_dicts import find_networks
from trajlab.runs.readers.torch_loading import header_of, load_weights_only, stored_type, values_of


def file_of(content):
    raw = io.BytesIO()
    torch.save(content, raw)
    return raw


def test_load_weights_only__settings_beside_the_weights_are_data():
    beside = {
        "args": argparse.Namespace(lr=0.1),
        "path": pathlib.PosixPath("a"),
        "loss": np.float64(2),
        "rows": np.arange(3),
    }
    loaded = load_weights_only(file_of({"w": torch.ones(2)} | beside), "a.pt", "cpu")
    assert loaded["args"].lr == 0.1 and loaded["loss"] == 2 and loaded["rows"].tolist() == [0, 1, 2]
    assert load_weights_only(file_of({"w": torch.ones(2)}), "a.pt", "meta")["w"].is_meta


@pytest.mark.parametrize(
    ("content", "words"),
    [({"x": fractions.Fraction(1, 2)}, "fractions.Fraction"), ({"net": torch.nn.ReLU()}, "whole pickled module")],
)
def test_load_weights_only__runs_no_code_and_says_what_a_file_holds(content, words):
    with pytest.raises(DamagedData, match=f"a.pt as weights only: .*{words}"):
        load_weights_only(file_of(content), "a.pt", "cpu")


@pytest.mark.parametrize("raw", [b"", b"no such file", b"PK\x03\x04" + b"\0" * 60])
def test_load_weights_only__damaged_bytes_are_named_without_advice_to_run_code(raw):
    with pytest.raises(DamagedData, match="a.pt as a PyTorch checkpoint") as error:
        load_weights_only(io.BytesIO(raw), "a.pt", "cpu")
    assert "weights_only" not in str(error.value)


def test_load_weights_only__from_several_threads_at_once():
    raw, errors = file_of({"w": torch.ones(3), "args": argparse.Namespace()}).getvalue(), []

    def load():
        try:
            load_weights_only(io.BytesIO(raw), "a.pt", "meta")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_header_of__names_tensors_without_an_array():
    state = {"w": torch.ones(2, 3), "s": torch.ones(2).to_sparse(), "h": torch.ones(2, dtype=torch.bfloat16)}
    content = find_networks(state)
    header = header_of(content, lambda path, name: np.empty(0))
    assert list(header.entries) == ["w", "h"] and header.entries["h"].stored == ml_dtypes.bfloat16
    assert "sparse" in header.left_out["s"]
    assert (
        values_of(content, "a.pt", "w").tolist() == [[1, 1, 1]] * 2
        and values_of(content, "a.pt", "h").dtype == ml_dtypes.bfloat16
    )
    with pytest.raises(DamagedData, match="v of a.pt: the file no longer holds it"):
        values_of(content, "a.pt", "v")
    with pytest.raises(DamagedData, match="w of a.pt: it was saved without its values"):
        values_of(find_networks({"w": torch.ones(2, device="meta")}), "a.pt", "w")


@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.float8_e5m2, ml_dtypes.float8_e5m2), (torch.int16, "i2"), (torch.bool, "?")]
)
def test_stored_type__is_that_of_numpy(dtype, expected):
    assert stored_type(dtype) == np.dtype(expected)
