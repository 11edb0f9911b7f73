"""Refuse what lies in a folder and leads out of it: symbolic links to other places, pipes and devices."""

import os
import stat
from pathlib import Path

from trajlab.errors import DamagedData, UntrustedCode
from trajlab.runs.disk.paths import is_url

CACHES = (f"{os.sep}.dvc{os.sep}cache{os.sep}", f"{os.sep}blobs{os.sep}")
"""Folders of DVC and of Hugging Face's hub that hold the files behind links."""


def check_inside(path: str | os.PathLike[str], root: Path) -> None:
    """Raise UntrustedCode if a path in a folder goes through a symbolic link that leaves the folder.

    Links into the caches of DVC and of Hugging Face's hub are followed.

    Parameters
    ----------
    path
        The path, below the folder.
    root
        The folder, as the caller named it.
    """
    if is_url(root):
        return
    at, whole = str(root), str(path)
    below = whole[len(at) :] if whole.startswith(f"{at}{os.sep}") else os.path.relpath(whole, at)
    for part in filter(None, below.split(os.sep)):
        at = f"{at}{os.sep}{part}"
        if not os.path.islink(at):
            continue
        home, target = os.path.realpath(root), os.path.realpath(at)
        if target != home and not target.startswith(home + os.sep) and not any(cache in target for cache in CACHES):
            raise UntrustedCode(
                f"cannot read {at}: it is a symbolic link that leaves {root}, to {target}; name the folder that it "
                "points to, put a copy in its place, or pass --trust (trust=True) if you trust who made it"
            )


def check_tree(folder: Path, root: Path, *, trust: bool = False) -> None:
    """Check all files below a folder as `check_inside` does, and that they are files.

    Raises
    ------
    UntrustedCode
        A symbolic link leaves `root`; links are not checked if it is trusted.
    DamagedData
        A file is a pipe, a device or a socket, which reading would wait for.
    """
    if is_url(root):
        return
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(at, name)
            if not trust:
                check_inside(path, root)
            if name in files and os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
                raise DamagedData(f"cannot read {path}: it is a pipe or a device, not a file; remove it")
