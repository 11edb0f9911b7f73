"""The files of weights of one checkpoint, single or sharded, and their headers."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.disk.paths import is_url
from trajlab.runs.readers.formats import Format, Header, format_of, own_formats

NOT_WEIGHTS = re.compile(
    r"^(optimizer|scheduler|scaler|sampler|rng_state|training_args|probe|indices|random_states)|optim_states\."
)
INDEX_SUFFIX = ".index.json"
"""The index of a sharded checkpoint is named as a file of its format, and then so."""

SHARD = re.compile(r"[-_.]?\d+-of-\d+")
"""Parts of names that tell the shards of one model apart."""


def weight_files(entry: Path, formats: Sequence[Format] = ()) -> dict[str, str]:
    """Return the files of weights of one checkpoint, each with the name of its model.

    Parameters
    ----------
    entry
        A file, or a folder with files.
    formats
        Formats of files besides our own.

    Raises
    ------
    DamagedData
        The index of a sharded checkpoint is damaged.
    """
    formats = (*own_formats(), *formats)
    if not entry.is_dir():
        is_file = entry.is_file() or entry.is_symlink()
        weights = format_of(entry.name, formats) is not None and not NOT_WEIGHTS.search(entry.name)
        return {str(entry): ""} if is_file and weights else {}
    names = sorted(file.name for file in entry.iterdir() if not NOT_WEIGHTS.search(file.name))
    for name in names:
        if name.endswith(INDEX_SUFFIX) and format_of(name.removesuffix(INDEX_SUFFIX), formats) is not None:
            return {str(entry / shard): "" for shard in _shards(entry / name)}
    for candidate in formats:
        files = [name for name in names if name.endswith(candidate.SUFFIXES)]
        models = [name for name in files if name.startswith(("model", "pytorch_model"))] or files
        if models:
            return {str(entry / name): SHARD.sub("", name) for name in models}
    return {}


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedData(
            f"cannot read the index of a sharded checkpoint, {index}: it has no weight_map ({error!r}); restore it, or "
            "move the checkpoint out of the folder"
        ) from error


def read_headers(
    entry: Path, step: int | None, formats: Sequence[Format], cache: dict[Any, Any], weightless: dict[str, str]
) -> dict[str, Header]:
    """Read the headers of a checkpoint by path; none if it holds no weights.

    Parameters
    ----------
    entry
        The file or folder.
    step
        Its step by its name, for errors.
    formats
        Formats of files besides our own.
    cache
        Shared by all checkpoints of a folder.
    weightless
        Gets what files without weights hold, by path.

    Raises
    ------
    DamagedData
        A file is damaged.
    MissingData
        A file is missing.
    """
    headers = {path: _header(path, step, formats, cache) for path in weight_files(entry, formats)}
    weightless |= {path: "no tensors" for path, header in headers.items() if not header.entries}
    return {path: header for path, header in headers.items() if header.entries}


def _header(path: str, step: int | None, formats: Sequence[Format], cache: dict[Any, Any]) -> Header:
    reader = format_of(path, (*own_formats(), *formats))
    try:
        if reader is None:
            raise DamagedData(f"cannot read {path}, which the index of its checkpoint names: its format is unknown")
        return reader.read_header(path, cache.setdefault(reader.SUFFIXES, {}))
    except DamagedData as error:
        raise DamagedData(f"step {step}: {error}" if step is not None else str(error)) from error
    except OSError as error:
        if is_url(path) and not isinstance(error, FileNotFoundError):
            raise
        raise MissingData(
            f"cannot read {path} of step {step}: {error.strerror or error}; restore it, or move the checkpoint out of "
            "the folder"
        ) from error
