import json

import numpy as np
import pytest

from trajlab.errors import DamagedData, MissingData, UntrustedCode
from trajlab.replays.probe_files import read_probe
from trajlab.replays.token_probe import LENGTH, MOST, holds_tokens, read_tokens

tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture
def run(tmp_path):
    words = {f"w{i}": i for i in range(50)} | {"[UNK]": 50}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    folder = tmp_path / "run" / "checkpoint-10"
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder.parent


def text(path, count):
    path.write_text(" ".join(f"w{i % 50}" for i in range(count)))
    return path


def test_a_text__is_cut_into_sequences_that_the_network_takes(tmp_path, run):
    batch = read_tokens(text(tmp_path / "a.txt", 3 * LENGTH + 5), run)
    assert batch["input_ids"].shape == (3, LENGTH)
    np.testing.assert_array_equal(batch["input_ids"].ravel()[:60], np.arange(60) % 50)
    np.testing.assert_array_equal(batch["labels"], batch["input_ids"])
    (run / "checkpoint-10" / "config.json").write_text(json.dumps({"n_positions": 16}))
    assert read_tokens(tmp_path / "a.txt", run)["input_ids"].shape == (3 * LENGTH // 16, 16)
    assert read_tokens(text(tmp_path / "a.txt", 16 * MOST + 99), run)["input_ids"].shape == (MOST, 16)
    probe = read_probe(tmp_path / "a.txt", run=run)
    assert set(probe) == {"inputs", "targets"} and probe.attrs["sha256"]


def test_a_text__needs_a_tokenizer_and_two_tokens(tmp_path, run):
    with pytest.raises(MissingData, match=r"no tokenizer\.json"):
        read_probe(text(tmp_path / "a.txt", 9), run=tmp_path)
    with pytest.raises(DamagedData, match="1 tokens"):
        read_probe(text(tmp_path / "a.txt", 1), run=run)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_a_text__links_out_of_the_run_are_followed_if_it_is_trusted(tmp_path, run, name):
    outside = tmp_path / "elsewhere.json"
    (run / "checkpoint-10" / name).touch()
    content = (run / "checkpoint-10" / "tokenizer.json").read_text()
    (run / "checkpoint-10" / name).unlink()
    outside.write_text(content)
    (run / "checkpoint-10" / name).symlink_to(outside)
    path = text(tmp_path / "a.txt", 3 * LENGTH)
    with pytest.raises(UntrustedCode, match=rf"{name}: it is a symbolic link that leaves"):
        read_probe(path, run=run)
    assert read_probe(path, run=run, trust=True)["inputs"].sizes["sample"] == 3


def folder_of(path, **columns):
    pa = pytest.importorskip("pyarrow")
    path.mkdir(parents=True)
    table = pa.table(columns)
    with pa.OSFile(str(path / "data-00000-of-00001.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    return path


def test_a_folder_of_datasets__links_out_of_it_are_followed_if_it_is_trusted(tmp_path):
    folder_of(tmp_path / "elsewhere", input_ids=[[1, 2]])
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "data.arrow").symlink_to(tmp_path / "elsewhere" / "data-00000-of-00001.arrow")
    with pytest.raises(UntrustedCode, match=r"data\.arrow: it is a symbolic link that leaves"):
        read_probe(tmp_path / "d")
    assert read_probe(tmp_path / "d", trust=True)["inputs"].shape == (1, 2)


def test_a_folder_of_datasets__is_padded_where_rows_differ(tmp_path):
    folder_of(tmp_path / "d" / "train", input_ids=[[9, 9]])
    folder_of(tmp_path / "d" / "validation", input_ids=[[1, 2, 3], [4]], labels=[[1, -100, 3], [4]])
    assert holds_tokens(tmp_path / "d")
    probe = read_probe(tmp_path / "d")
    np.testing.assert_array_equal(probe.inputs, [[1, 2, 3], [4, 0, 0]])
    np.testing.assert_array_equal(probe.targets, [[1, -100, 3], [4, -100, -100]])
    np.testing.assert_array_equal(probe.attention_mask, [[1, 1, 1], [1, 0, 0]])


def test_a_folder_of_datasets__of_one_length_has_no_mask_and_of_many_rows_some(tmp_path):
    batch = read_tokens(folder_of(tmp_path / "d", input_ids=[[i, i] for i in range(200)]), None)
    assert set(batch) == {"input_ids", "labels"} and batch["input_ids"].shape == (MOST, 2)


def test_a_folder_of_datasets__of_texts_is_tokenized(tmp_path, run):
    batch = read_tokens(folder_of(tmp_path / "d", text=["w1 w2", "w3"]), run)
    np.testing.assert_array_equal(batch["input_ids"], [[1, 2, 3]])
    with pytest.raises(DamagedData, match="columns are other"):
        read_probe(folder_of(tmp_path / "e", other=[1]), run=run)
