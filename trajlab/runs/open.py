"""Open a run, whatever it is stored as, and list the runs in a folder."""

from collections.abc import Sequence
from pathlib import Path

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.runs.choose_parameters import choose_parameters
from trajlab.runs.disk.paths import as_path, kind_of, reaching
from trajlab.runs.disk.remote import survey
from trajlab.runs.disk.upload import is_unfinished
from trajlab.runs.readers.folder import read_folder
from trajlab.runs.readers.formats import Format
from trajlab.runs.readers.layout import has_steps, is_recorded, runs_below
from trajlab.runs.readers.lone_checkpoints import is_checkpoint
from trajlab.runs.readers.store import is_store, read_store
from trajlab.runs.readers.weight_files import weight_files
from trajlab.runs.tensors import natural
from trajlab.runs.trajectory import Trajectory
from trajlab.runs.trust import find_mark


def open(
    path: str | Path,
    *,
    step_pattern: str | None = None,
    series: str | None = None,
    key: str | None = None,
    parameters: str | None = None,
    formats: Sequence[Format] = (),
    trust: bool = False,
) -> Trajectory:
    """Open a packed store, a run folder, or any folder of checkpoints, lazily.

    Checkpoints are files, or folders of files, with the step in the file or in the name; one file, and a folder of one
    model without a step, is one snapshot. The fact `steps` of the trajectory says how steps were read, and which
    checkpoints were left aside. They are read in the formats of `trajlab.runs.readers.formats`: safetensors, PyTorch's
    files and its distributed checkpoints, NumPy's .npz, Stable-Baselines3's .zip and Keras' .h5, single, sharded, or
    with a file or folder for each of several models.

    The network of a file is its mapping of tensors that is no optimizer's state. Names of several networks begin with
    their keys.

    Parameters
    ----------
    path
        Path or URL of the store or folder, or of one checkpoint.
    step_pattern
        Regular expression whose first group is the step in the name of a checkpoint, for unusual names.
    series
        Which checkpoints to take, where the folder holds those of several networks: the name that they share, such as
        "net_G_A" for net_G_A_10.pth and net_G_A_20.pth, or a regular expression that their names match.
    key
        Key of the network to read, of checkpoints with several: the key in a file, or the name of a file or folder.
    parameters
        Regular expression that is searched in the names of tensors: those that match are the weights, all others
        buffers. By default, integers and running statistics are buffers.
    formats
        Further formats of checkpoint files; see `trajlab.runs.readers.formats.Format`.
    trust
        Import and call the model factory that the run names, when a stage replays it, and follow symbolic links that
        leave the folder. Runs that you recorded on this machine are trusted where they lie; for others, name the model
        or trust whoever wrote the folder.

    Raises
    ------
    MissingData
        The path does not exist, or the folder holds no checkpoints.
    BadSetting
        No network has the key, or no tensor matches the pattern.
    DamagedData
        A file is damaged, or the store is of another version.
    AmbiguousData
        The folder holds several networks, or nothing tells the steps for certain.
    """
    folder = as_path(path)
    with reaching(folder):
        if not folder.is_dir() and weight_files(folder, formats):
            return _chosen(_trusted(read_folder(folder, None, formats, key=key, trust=trust), trust), parameters)
        if not folder.is_dir():
            raise MissingData(
                f"cannot open {folder}: there is {kind_of(folder)}; name a packed store, "
                "a folder of checkpoints or one checkpoint"
            )
        inside = runs_in(folder, formats=formats)
        if inside:
            raise MissingData(
                f"cannot open {folder} as a run: it is a folder of runs: {', '.join(inside)}; open one of them, or all "
                "as {name: trajlab.open(path) for name, path in trajlab.runs_in(folder).items()}"
            )
        if is_store(folder):
            if key is not None:
                raise BadSetting(
                    f"cannot read the network {key!r} of {folder}: it is a packed store; choose its parameters with "
                    "--parameters (parameters=), or pack it with this key"
                )
            return _chosen(_trusted(read_store(folder, trust=trust), trust), parameters)
        survey(folder)
        if is_unfinished(folder):
            raise DamagedData(
                f"cannot open {folder}: another process is writing there, or a write was interrupted; wait, or write "
                "it again"
            )
        run = _trusted(read_folder(folder, step_pattern, formats, series, key=key, trust=trust), trust)
        return _chosen(run, parameters)


def _chosen(trajectory: Trajectory, parameters: str | None) -> Trajectory:
    return trajectory if parameters is None else choose_parameters(trajectory, parameters)


def _trusted(trajectory: Trajectory, trust: bool) -> Trajectory:
    trajectory.trusted = trust or find_mark(trajectory.source, trajectory.facts) is not None
    return trajectory


def runs_in(path: str | Path, *, formats: Sequence[Format] = ()) -> dict[str, Path]:
    """Return the paths of the runs in a study's folder by name; empty if the folder is itself a run, or holds none.

    Folders such as seed0, fold_1 and version_0/checkpoints are runs; folders of steps, such as checkpoint-500, are the
    snapshots of one.

    Parameters
    ----------
    path
        Path or URL of the folder.
    formats
        Further formats of checkpoint files.

    Raises
    ------
    BadSetting
        The folder holds a run twice: as a folder of snapshots and as a store.
    """
    folder = as_path(path)
    runs: dict[str, Path] = {}
    with reaching(folder):
        if not folder.is_dir() or is_recorded(folder) or has_steps(folder, formats):
            return runs
        if is_checkpoint(folder, formats):
            return runs
        below = runs_below(folder, formats)
        for run, name in sorted(below.items(), key=lambda item: (natural(item[1]), item[0].name)):
            if name in runs:
                raise BadSetting(
                    f"cannot tell which is the run {name} of {folder}: both {runs[name].name} and {run.name} are; "
                    "keep stores and folders of snapshots in different folders, or name one of the two"
                )
            runs[name] = run
    return runs
