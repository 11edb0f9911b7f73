"""What lies in a folder: files of weights, the snapshot of one step, a run, or several runs."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from trajlab.errors import DamagedData
from trajlab.runs.disk.paths import is_url
from trajlab.runs.readers.formats import Format, format_of, own_formats
from trajlab.runs.readers.names import COPIES, GENERIC, IDENTITY, PLAIN, SAVE, SHARDS, UNIT_OF, UNITS, Name, parse
from trajlab.schema import RUN_FILE, STORE_FILE

NOT_WEIGHTS = re.compile(
    r"^(optimizer|scheduler|scaler|sampler|rng_state|training_args|probe|indices|random_states)|optim_states\."
)
INDEX_SUFFIX = ".index.json"
"""The index of a sharded checkpoint is named as a file of its format, and then so."""

DEEPEST = 3
"""Folders between a study and the checkpoints of a run, as in seed0/lightning_logs/version_0/checkpoints."""

MOST = 100
"""Folders looked into for a run; more are data."""


def name_of(entry: str, formats: Sequence[Format] = ()) -> Name:
    """Read the name of a file or folder without the suffix of its format."""
    suffixes = (suffix for one in (*own_formats(), *formats) for suffix in one.SUFFIXES)
    return parse(entry.removesuffix(max((s for s in suffixes if entry.endswith(s)), key=len, default="")))


def weight_files(entry: Path, formats: Sequence[Format] = ()) -> list[str]:
    """Return the files of weights of one checkpoint: the entry itself, or those in it if it is a folder.

    Raises
    ------
    DamagedData
        The index of a sharded checkpoint cannot be read.
    """
    formats = (*own_formats(), *formats)
    if not entry.is_dir():
        is_file = entry.is_file() or entry.is_symlink()
        weights = format_of(entry.name, formats) is not None and not NOT_WEIGHTS.search(entry.name)
        return [str(entry)] if is_file and weights else []
    names = sorted(file.name for file in entry.iterdir() if not NOT_WEIGHTS.search(file.name))
    for name in names:
        if name.endswith(INDEX_SUFFIX) and format_of(name.removesuffix(INDEX_SUFFIX), formats) is not None:
            return [str(entry / shard) for shard in _shards(entry / name)]
    for one in formats:
        files = [name for name in names if name.endswith(one.SUFFIXES)]
        models = [name for name in files if name.startswith(("model", "pytorch_model"))] or files
        if models:
            return [str(entry / name) for name in models]
    return []


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedData(
            f"cannot read the index of a sharded checkpoint, {index}: it has no weight_map ({error!r}); restore it, or "
            "move the checkpoint out of the folder"
        ) from error


def is_snapshot(folder: Path, formats: Sequence[Format] = ()) -> bool:
    """Return whether a folder is the snapshot of one step, by the names in it.

    Its name has the step and it holds one checkpoint: seed0/model.pt is a run, and so is model2/epoch_1.pt.
    """
    name = name_of(folder.name, formats)
    timed = bool(name.numbers_of(*UNITS))
    if not timed and (not name.numbers_of(PLAIN) or name.numbers_of(IDENTITY)):
        return False
    if is_recorded(folder):
        return False
    inside = [name_of(Path(file).name, formats) for file in weight_files(folder, formats)]
    steps = {(number.unit, number.value) for held in inside for number in held.numbers_of(*UNITS)}
    return bool(inside) and len(steps) <= timed


def is_recorded(folder: Path) -> bool:
    """Return whether a folder is a run that we wrote, or a Zarr group."""
    return (folder / STORE_FILE).is_file() or (folder / RUN_FILE).exists()


def has_steps(folder: Path, formats: Sequence[Format] = ()) -> bool:
    """Return whether a folder holds a snapshot with a step in its name."""
    return any(_has_step(entry, formats) for entry in folder.iterdir() if not entry.name.startswith("."))


def _has_step(entry: Path, formats: Sequence[Format]) -> bool:
    if not name_of(entry.name, formats).numbers_of(*UNITS, PLAIN):
        return False
    return is_snapshot(entry, formats) if entry.is_dir() else bool(weight_files(entry, formats))


def is_run(folder: Path, formats: Sequence[Format] = ()) -> bool:
    """Return whether a folder is a run: recorded, packed, with steps in names, or with one model."""
    return is_recorded(folder) or has_steps(folder, formats) or _has_model(folder, formats)


def _has_model(folder: Path, formats: Sequence[Format]) -> bool:
    """Return whether a folder holds a file that is named as a model, or any file of weights if it is named as a run."""
    of_a_run = bool(name_of(folder.name).numbers_of(IDENTITY))
    with suppress(DamagedData):
        return any(of_a_run or _is_model(name_of(Path(file).name, formats)) for file in weight_files(folder, formats))
    return True


def _is_model(name: Name) -> bool:
    words = {word.lower() for word in name.words}
    return bool(words & (GENERIC | COPIES)) or any(UNIT_OF.get(word, ("",))[0] == SAVE for word in words)


def runs_below(folder: Path, formats: Sequence[Format] = ()) -> Iterator[tuple[str, Path]]:
    """Yield the runs in the folders of a folder: the name of each, and where it lies.

    A run may lie deeper, as seed0/checkpoints, where it is the only one.
    """
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith("."):
            run = _run_in(entry, formats, DEEPEST)
            if run is not None:
                yield entry.name.removesuffix(".zarr") if run == entry else entry.name, run


def _run_in(folder: Path, formats: Sequence[Format], depth: int) -> Path | None:
    if is_run(folder, formats):
        return folder
    if not depth or is_url(folder):
        return None
    with suppress(OSError):
        inside = (entry for entry in islice(folder.iterdir(), MOST) if entry.is_dir() and not is_recorded(entry))
        runs = [run for entry in inside if (run := _run_in(entry, formats, depth - 1)) is not None]
        return runs[0] if len(runs) == 1 else None
    return None


def is_one_model(files: Sequence[str], formats: Sequence[Format] = ()) -> bool:
    """Return whether files are one model: one file, or the shards of one."""
    shapes = {SHARDS.sub("", name_of(Path(file).name, formats).stem) for file in files}
    return len(shapes) == 1
