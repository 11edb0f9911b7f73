"""What lies in a folder: files of weights, the snapshot of one step, a run, or several runs."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from trajlab.errors import DamagedData
from trajlab.runs.disk.paths import is_url
from trajlab.runs.readers.formats import Format, own_formats
from trajlab.runs.readers.names import COPIES, GENERIC, IDENTITY, PLAIN, SAVE, UNIT_OF, UNITS, Name, parse
from trajlab.runs.readers.weight_files import weight_files
from trajlab.schema import RUN_FILE, STORE_FILE

DEEPEST = 3
"""Folders between a study and the checkpoints of a run, as in seed0/lightning_logs/version_0/checkpoints."""

MOST = 100
"""Folders looked into for a run; more are data."""


def name_of(entry: str, formats: Sequence[Format] = ()) -> Name:
    """Read the name of a file or folder without the suffix of its format."""
    suffixes = (suffix for of in (*own_formats(), *formats) for suffix in of.SUFFIXES if entry.endswith(suffix))
    return parse(entry.removesuffix(max(suffixes, key=len, default="")))


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
    steps = {tuple((number.unit, number.value) for number in held.numbers_of(*UNITS)) for held in inside}
    return bool(inside) and len(steps - {()}) <= timed


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


def runs_below(folder: Path, formats: Sequence[Format] = ()) -> dict[Path, str]:
    """Return the runs in the folders of a folder by where they lie, each with its name.

    A run may lie deeper, as seed0/checkpoints, where each folder holds one: in a folder of studies there are none.
    """
    folders = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    runs = {entry: entry.name.removesuffix(".zarr") for entry in folders if is_run(entry, formats)}
    deeper = {entry: _runs_in(entry, formats, DEEPEST) for entry in folders if entry not in runs}
    if all(len(inside) < 2 for inside in deeper.values()):
        runs |= {run: entry.name for entry, inside in deeper.items() for run in inside}
    return runs


def _runs_in(folder: Path, formats: Sequence[Format], depth: int) -> list[Path]:
    """Return the runs in the folders of a folder, in as many levels; a folder of one step holds none."""
    if not depth or is_url(folder) or name_of(folder.name).numbers_of(*UNITS):
        return []
    runs: list[Path] = []
    with suppress(OSError):
        for entry in islice(folder.iterdir(), MOST):
            if entry.is_dir() and not is_recorded(entry):
                runs += [entry] if is_run(entry, formats) else _runs_in(entry, formats, depth - 1)
    return runs
