"""Open a run, whatever it is stored as, and list the runs in a folder."""

from pathlib import Path

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.runs.disk.paths import as_path, reaching
from trajlab.runs.disk.remote import survey
from trajlab.runs.disk.upload import is_unfinished
from trajlab.runs.readers.checkpoints import has_checkpoints
from trajlab.runs.readers.folder import read_folder
from trajlab.runs.readers.store import is_store, read_store
from trajlab.runs.tensors import natural
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import RUN_FILE


def open(path: str | Path, *, step_pattern: str | None = None) -> Trajectory:
    """Open a packed store, a run folder, or any folder of checkpoints, lazily.

    Checkpoints are safetensors, single or sharded, or PyTorch files that hold weights only; folders or flat files
    with the step in the name or in the file.

    Parameters
    ----------
    path
        The store or the folder, or its URL.
    step_pattern
        Regular expression whose first group is the step in the name of a checkpoint, for odd names.

    Raises
    ------
    MissingData
        There is nothing at the path, or nothing in the folder.
    DamagedData
        A file is damaged, or the store is of another version.
    """
    folder = as_path(path)
    with reaching(folder):
        if not folder.is_dir():
            raise MissingData(
                f"a packed store or a folder of checkpoints was to be opened at {folder}; "
                f"there is {'a file' if folder.exists() else 'nothing'}. Name the folder of the run."
            )
        inside = runs_in(folder)
        if inside:
            raise MissingData(
                f"a run was to be opened at {folder}; it is a folder of runs: {', '.join(inside)}. Open one of them, "
                "or all as {name: trajlab.open(path) for name, path in trajlab.runs_in(folder).items()}."
            )
        if is_store(folder):
            return read_store(folder)
        survey(folder)
        if is_unfinished(folder):
            raise DamagedData(
                f"a run was to be opened at {folder}; somebody is writing there now, or was interrupted. Wait, or "
                "write it again."
            )
        return read_folder(folder, step_pattern)


def runs_in(path: str | Path) -> dict[str, Path]:
    """Give the runs in a study's folder by name; empty if the folder is itself a run, or holds none.

    Raises
    ------
    BadSetting
        A run is there twice: as a folder of snapshots and as a store.
    """
    folder = as_path(path)
    runs: dict[str, Path] = {}
    with reaching(folder):
        if not folder.is_dir() or is_store(folder) or (folder / RUN_FILE).exists() or has_checkpoints(folder):
            return runs
        inside = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        inside.sort(key=lambda entry: natural(entry.name))
        for entry in filter(_is_run, inside):
            name = entry.name.removesuffix(".zarr")
            if name in runs:
                raise BadSetting(
                    f"runs were looked for in {folder}; {runs[name].name} and {entry.name} are both the run {name}. "
                    "Keep stores and folders of snapshots in different folders, or name one of the two."
                )
            runs[name] = entry
    return runs


def _is_run(folder: Path) -> bool:
    return is_store(folder) or (folder / RUN_FILE).exists() or has_checkpoints(folder)
