"""Probes of tokens: a text with the tokenizer of the run, or a folder that the library datasets wrote."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trajlab.errors import MissingData
from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.inside import check_inside
from trajlab.runs.disk.remote import read_bytes
from trajlab.runs.tensors import natural
from trajlab.schema import CONFIG_FILE
from trajlab.statistics.next_tokens import IGNORED

TEXTS = (".txt", ".md")
"""How names of texts end."""

SPLITS = ("validation", "valid", "eval", "test", "train")
"""Folders of a data set with several parts; the first that is there is the probe."""

MOST, LENGTH = 64, 128
"""Most sequences of a probe, and tokens of a sequence that is cut from a text."""

POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")
"""Names that configurations give to the longest sequence."""

TOKENIZER_FILE = "tokenizer.json"


def holds_tokens(path: Path) -> bool:
    """Return whether a path is a text, or a folder of datasets."""
    return path.suffix.lower() in TEXTS if path.is_file() else _arrow_files(path) != []


def read_tokens(path: Path, run: Path | None, *, trust: bool = False) -> dict[str, np.ndarray]:
    """Return a batch of transformers: `input_ids`, `labels` and, of sequences of several lengths, `attention_mask`.

    Parameters
    ----------
    path
        A text, or a folder that `save_to_disk` of datasets wrote, with a column `input_ids` or `text`; of a folder the
        first `MOST` rows count.
    run
        The run whose tokenizer reads texts.
    trust
        Follow symbolic links that leave the folder or the run.

    Raises
    ------
    MissingData
        There is no tokenizer, or a package is not installed.
    UntrustedCode
        A symbolic link leaves the folder or the run.
    ValueError
        The text is shorter than two tokens, or the folder has no such column.
    """
    if path.is_file():
        return _cut(_tokenized(read_bytes(path, None).decode(errors="replace"), run, trust), run, trust)
    files = _arrow_files(path)
    for file in () if trust else files:
        check_inside(file, path)
    rows = _rows(files)
    if not rows:
        raise ValueError("it has no rows")
    if "input_ids" in rows[0]:
        return _padded(rows)
    if "text" in rows[0]:
        return _cut(_tokenized("\n\n".join(str(row["text"]) for row in rows), run, trust), run, trust)
    raise ValueError(f"its columns are {', '.join(rows[0])}, and none is input_ids or text")


def _arrow_files(folder: Path) -> list[Path]:
    """Return the files of a data set, or of the first of its parts."""
    if not folder.is_dir():
        return []
    parts = [folder, *(folder / split for split in SPLITS)]
    return next((files for part in parts if (files := sorted(part.glob("*.arrow")))), [])


def _rows(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the first rows of files of Arrow."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingData(
            "cannot read files of datasets: pyarrow is not installed; install trajlab[parquet]"
        ) from error
    rows: list[dict[str, Any]] = []
    for file in files:
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as batches:
            for batch in batches:
                rows += batch.slice(0, MOST - len(rows)).to_pylist()
                if len(rows) >= MOST:
                    return rows
    return rows


def _padded(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return rows as arrays, shorter ones padded at the end, where no label counts."""
    ids = [np.asarray(row["input_ids"], np.int64) for row in rows]
    length = max(map(len, ids))
    labels = [np.asarray(row.get("labels", row["input_ids"]), np.int64) for row in rows]
    masks = [
        np.asarray(row.get("attention_mask", np.ones(len(one))), np.int64) for row, one in zip(rows, ids, strict=True)
    ]
    batch = {"input_ids": _stacked(ids, length, 0), "attention_mask": _stacked(masks, length, 0)}
    batch["labels"] = _stacked(labels, length, IGNORED) if labels[0].ndim else np.array(labels)
    return batch if (batch["attention_mask"] == 0).any() else {k: v for k, v in batch.items() if k != "attention_mask"}


def _stacked(rows: Sequence[np.ndarray], length: int, filling: int) -> np.ndarray:
    return np.stack([np.pad(row, (0, length - len(row)), constant_values=filling) for row in rows])


def _tokenized(text: str, run: Path | None, trust: bool) -> list[int]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingData("cannot read a text: tokenizers is not installed; install trajlab[huggingface]") from error
    file = None if run is None else _beside(run, TOKENIZER_FILE, trust)
    if file is None:
        raise MissingData(
            f"cannot read a text as tokens: there is no {TOKENIZER_FILE} in {run or 'the run'} or its checkpoints; "
            "save the tokenizer there with save_pretrained, or name a file of input_ids"
        )
    return Tokenizer.from_buffer(read_bytes(file)).encode(text, add_special_tokens=False).ids


def _cut(ids: Sequence[int], run: Path | None, trust: bool) -> dict[str, np.ndarray]:
    """Return tokens in sequences of one length, which the network can take."""
    length = min(LENGTH, len(ids), _longest(run, trust))
    if length < 2:
        raise ValueError(f"it has {len(ids)} tokens, and a sequence needs two")
    count = min(MOST, len(ids) // length)
    batch = np.array(ids[: count * length], np.int64).reshape(count, length)
    return {"input_ids": batch, "labels": batch}


def _longest(run: Path | None, trust: bool) -> int:
    """Return the longest sequence that the configuration of a run allows."""
    file = None if run is None else _beside(run, CONFIG_FILE, trust)
    config = parse_json(read_bytes(file)) if file is not None else {}
    lengths = [config[name] for name in POSITIONS if isinstance(config, dict) and isinstance(config.get(name), int)]
    return min([length for length in lengths if length > 1], default=LENGTH)


def _beside(run: Path, name: str, trust: bool) -> Path | None:
    """Return a file of a run, or of the last of its checkpoints that has one."""
    inside = sorted(run.glob(f"*/{name}"), key=lambda path: natural(path.parent.name)) if run.is_dir() else []
    file = next((path for path in (run / name, *inside[::-1], run.parent / name) if path.is_file()), None)
    if file is not None and not trust:
        check_inside(file, file.parent if file.parent == run.parent else run)
    return file
