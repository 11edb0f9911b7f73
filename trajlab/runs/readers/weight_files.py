"""The files of weights of one checkpoint, single, sharded or of several models, and their headers."""

import math
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.inside import check_inside
from trajlab.runs.disk.paths import is_url, reason
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import read_bytes
from trajlab.runs.readers.foreign_files import describe_file
from trajlab.runs.readers.formats import MOST_DIMS, Format, Header, format_of, own_formats

NOT_WEIGHTS = re.compile(
    r"^(optimizer|scheduler|scaler|sampler|rng_state|training_args|probe|indices|random_states)|optim_states\."
)
OF_A_RUN = re.compile(r"\.|.*(?<!global_)(step|iter|iteration|epoch|checkpoint|ckpt)[-_=]?\d", re.IGNORECASE)
"""Folders in a folder that are checkpoints of a run, rather than models of a checkpoint, or hidden."""

PLAIN_FILE = re.compile(r"(?!\.{1,2}$)[^/\\\x00-\x1f]{1,255}")
"""Names of files that lie in the folder itself."""

INDEX_SUFFIX = ".index.json"
"""The index of a sharded checkpoint is named as a file of its format, and then so."""

LEAST, BEST_COMPRESSION = 4096, 1032
"""Bytes of a small file, and how many bytes one byte of a compressed file may unpack to; 1032 is deflate's bound."""

SHARD = re.compile(
    r"[-_.]?\d+-of-\d+|[-_.]?(zero_pp|mp|tp|pp|ep|dp|model_parallel)?_?rank[-_]?\d+|(?<=consolidated)\.\d+"
)
"""Parts of names that tell the shards of one model apart."""

VARIANT = re.compile(r"\.(fp16|fp32|bf16|non_ema|ema)$")
"""Ends of the names of files, without the suffix, that repeat a model in another precision, as diffusers saves them."""


def weight_files(entry: Path, formats: Sequence[Format] = ()) -> dict[str, str]:
    """Return the files of weights of one checkpoint, each with the key of its model.

    Parameters
    ----------
    entry
        A file, whose key is empty; or a folder with files or with a folder for each model, whose names are the keys.
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
    inside = sorted((path for path in entry.iterdir() if not NOT_WEIGHTS.search(path.name)), key=lambda path: path.name)
    if files := _files_in(entry, [path.name for path in inside], formats):
        return files
    folders = [path for path in inside if not OF_A_RUN.match(path.name) and path.is_dir()]
    by_folder = {folder.name: _files_in(folder, _names_in(folder), formats) for folder in folders}
    return {
        path: ".".join(filter(None, (_model_of(name), key if len(set(files.values())) > 1 else "")))
        for name, files in by_folder.items()
        for path, key in files.items()
        if not any(map(re.compile(r"\d").search, files.values()))
    }


def _names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not NOT_WEIGHTS.search(file.name))


def _files_in(folder: Path, names: Sequence[str], formats: Sequence[Format]) -> dict[str, str]:
    """Return the files of weights in a folder with the keys of their models: of the first format that it holds."""
    for name in names:
        weights = name.removesuffix(INDEX_SUFFIX)
        if name != weights and (of_weights := format_of(weights, formats)) is not None:
            key = _model_of(_stem(weights, of_weights))
            return {str(folder / shard): key for shard in _shards(folder / name)}
    for candidate in formats:
        files = [name for name in names if name.endswith(candidate.SUFFIXES)]
        stems = {name: _stem(name, candidate) for name in files}
        plain = {name: VARIANT.sub("", stem) for name, stem in stems.items()}
        files = [name for name in files if plain[name] == stems[name] or plain[name] not in stems.values()]
        models = [name for name in files if name.startswith(("model", "pytorch_model"))] or files
        if models:
            return {str(folder / name): _model_of(stems[name]) for name in models}
    return {}


def _stem(name: str, of: Format) -> str:
    return name.removesuffix(next(suffix for suffix in sorted(of.SUFFIXES, key=len)[::-1] if name.endswith(suffix)))


def _model_of(stem: str) -> str:
    """Return the key of the model that a file or folder is of, by its name without suffix.

    >>> [_model_of(stem) for stem in ("model_1", "model-00001-of-00002", "mp_rank_00_model_states", "unet")]
    ['model_1', 'model', 'model_states', 'unet']
    """
    return VARIANT.sub("", SHARD.sub("", stem)).strip("-_.").replace(".", "_")


def _shards(index: Path) -> list[str]:
    """Return the files that the index of a sharded checkpoint names; they lie beside it."""
    with reading(index, "restore it, or move the checkpoint out of the folder", form="the index of shards"):
        content = parse_json(read_bytes(index))
        shards = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(shards, dict):
            raise ValueError("it has no weight_map, a mapping of the names of tensors to files")
        for tensor, shard in shards.items():
            if not isinstance(shard, str) or not PLAIN_FILE.fullmatch(shard):
                raise ValueError(f"its weight_map names {shard!r:.100} for {tensor!r:.100}, which is no file beside it")
        return sorted(set(shards.values()))


def read_headers(
    entry: Path, step: int | None, formats: Sequence[Format], cache: dict[Any, Any], weightless: dict[str, str],
    root: Path | None = None,
) -> dict[str, Header]:  # fmt: skip
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
        Gets what files without weights hold, by path, such as the state of an optimizer.
    root
        Folder that no link may leave; None if the folder is trusted.

    Raises
    ------
    UntrustedCode
        A file is a link that leaves the folder.
    DamagedData
        A file is damaged, or holds the placeholders of ZeRO stage 3.
    MissingData
        A file is missing, or the package that reads it.
    """
    headers = {}
    for path, key in weight_files(entry, formats).items():
        if root is not None:
            check_inside(path, root)
        header = _header(path, step, formats, cache)
        if header.entries or header.left_out:
            headers[path] = _prefixed(header, key, cache) if key else header
        elif header.holds:
            weightless[path] = header.holds
    return headers


def _header(path: str, step: int | None, formats: Sequence[Format], cache: dict[Any, Any]) -> Header:
    reader = format_of(path, (*own_formats(), *formats))
    of_step = f"step {step}: " if step is not None else ""
    try:
        if reader is None:
            raise DamagedData(f"cannot read {path}, which the index of its checkpoint names: its format is unknown")
        header = reader.read_header(path, cache.setdefault(reader.SUFFIXES, {}))
        _check_sizes(path, header, cache)
        _check_placeholders(path, header)
        return header
    except MissingData as error:
        raise MissingData(f"{of_step}{error}") from error
    except DamagedData as error:
        description = describe_file(path)
        raise DamagedData(f"{of_step}{f'cannot read {path}: {description}' if description else error}") from error
    except OSError as error:
        if is_url(path) and not isinstance(error, FileNotFoundError):
            raise
        raise MissingData(
            f"{of_step}cannot read {path}: {reason(error)}; restore it, or move the checkpoint out of the folder"
        ) from error


def _check_sizes(path: str, header: Header, cache: dict[Any, Any]) -> None:
    """Raise DamagedData if a header states tensors that end beyond its file, or that no compression makes so small."""
    if is_url(path) or path.endswith(".metadata"):
        return
    length = os.path.getsize(path)
    checked = cache.setdefault("checked", set())
    if (header, length) in checked:  # checkpoints of one network share their header
        return
    checked.add((header, length))
    for name, entry in header.entries.items():
        size = math.prod(entry.shape) * entry.stored.itemsize
        stop = size + (entry.offset or 0)
        if stop > (length if entry.offset is not None and size else max(length, LEAST) * BEST_COMPRESSION):
            raise DamagedData(
                f"cannot read {path}: it states {size:,} bytes for {name!r:.100}, but has {length:,} bytes in all; it "
                "is damaged, so restore it or move it out of the folder"
            )
        if len(entry.shape) > MOST_DIMS:
            raise DamagedData(f"cannot read {path}: {name!r:.100} has {len(entry.shape)} dims; save it with fewer")


def _check_placeholders(path: str, header: Header) -> None:
    """Raise DamagedData if tensors are the empty placeholders that ZeRO stage 3 leaves of partitioned parameters."""
    empty = [name for name, entry in header.entries.items() if entry.shape == (0,)]
    if empty and (2 * len(empty) > len(header.entries) or "zero_pp_rank" in path):
        raise DamagedData(
            f"cannot read {path}: {len(empty)} of its {len(header.entries)} tensors are empty placeholders of ZeRO "
            "stage 3, which keeps the values in other files; run zero_to_fp32.py, which DeepSpeed puts beside its "
            "checkpoints, for every step and name the folder of its outputs"
        )


def _prefixed(header: Header, key: str, cache: dict[Any, Any]) -> Header:
    """Return a header with names that begin with the key of a model; headers that are alike share it."""
    shared = cache.setdefault("prefixed", {})
    if (header, key) not in shared:
        shared[header, key] = Header(
            {f"{key}.{name}": entry for name, entry in header.entries.items()},
            header.metadata,
            None if header.load is None else partial(_load_by_own_name, header.load, len(key) + 1),
            header.in_network_order,
            tuple(f"{key}.{network}" if network else key for network in header.networks),
            {f"{key}.{name}": reason for name, reason in header.left_out.items()},
            header.holds,
        )
    return shared[header, key]


def _load_by_own_name(load: Callable[[str, str], np.ndarray], prefix: int, path: str, name: str) -> np.ndarray:
    return load(path, name[prefix:])
