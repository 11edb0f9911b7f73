import gzip

import pytest

from trajlab.runs.readers.foreign_files import describe_file, describe_foreign


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), (b"\n <!DOCTYPE HTML>", "web page"),
        (b"\xef\xbb\xbf<?xml version", "XML"), (gzip.compress(b"x", mtime=0), "gunzip"), (b"", "empty"),
        (b"GGUF\x03", "llama.cpp"),
        (b"\x89HDF\r\n\x1a\nrest", "rename it to .weights.h5"), (b'{"error": "401"}', "error message"),
        (b"\x80\x02x", ""),
    ],
)  # fmt: skip
def test_describe_file__knows_files_by_their_first_bytes(tmp_path, raw, words):
    (tmp_path / "a.pt").write_bytes(raw)
    said = describe_file(str(tmp_path / "a.pt"))
    assert words in said and bool(said) == bool(words)
    assert describe_file(str(tmp_path / "gone")) == ""


def test_describe_file__an_hdf5_file_of_its_name_is_nothing_foreign(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert describe_file(str(tmp_path / "a.h5")) == ""


def test_describe_foreign__names_the_most_frequent_kind_in_folders_too(tmp_path):
    assert describe_foreign(tmp_path) == ""
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "a.tar.gz").write_text("")
    assert describe_foreign(tmp_path) == "its 1 file .tar.gz (archive) is not read; unpack them"
    (tmp_path / "step1").mkdir()
    for name in ("a.onnx", "b.onnx", ".hidden.onnx"):
        (tmp_path / "step1" / name).write_text("")
    assert describe_foreign(tmp_path).startswith("its 3 files .onnx (ONNX) are not read; save the arrays")
