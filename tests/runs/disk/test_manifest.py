import json

import pytest

from trajlab.runs.disk.manifest import damaged_files, note_files, prune_manifest, read_manifest


@pytest.fixture
def run(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"123456789")
        note_files(tmp_path, tmp_path / name)
    return tmp_path


def test_manifest__has_size_and_checksum(run):
    assert list(damaged_files(run)) == []
    # the check value of CRC-32C, https://reveng.sourceforge.io/crc-catalogue/17plus.htm
    assert read_manifest(run)["a"] == ("a", 9, "e3069283")


def test_manifest__damage_is_named(run):
    (run / "a").write_bytes(b"123456788")
    (run / "b").write_bytes(b"12345678")
    assert dict(damaged_files(run)) == {"a": "its checksum is wrong", "b": "it has 8 bytes, 9 were written"}
    (run / "a").unlink()
    assert dict(damaged_files(run))["a"] == "it is missing"


def test_manifest__a_file_that_was_written_again_counts_once(run):
    (run / "a").write_bytes(b"")
    note_files(run, run / "a")
    assert list(damaged_files(run)) == [] and read_manifest(run)["a"].bytes == 0
    (run / "b").unlink()
    prune_manifest(run)
    assert list(read_manifest(run)) == ["a"]


@pytest.mark.parametrize("file", ["/etc/passwd", "../b", "a/../../b", "\0", 3, None])
def test_manifest__never_leads_out_of_the_folder(run, file):
    with open(run / "manifest.jsonl", "a") as manifest:
        manifest.write(json.dumps({"file": file, "bytes": 1, "crc32c": "00000000"}) + "\n[" + "\n{}\n3")
    assert list(read_manifest(run)) == ["a", "b"]
