"""Which runs may name code: those that this user recorded on this machine, as long as they stay where they were.

What a folder says is data. The model factory in its run.json is imported and called only if the caller named that
factory, said that the folder is trusted, or recorded the run. Recording leaves a mark outside the folder, in the user's
state directory, keyed by the folder's path; it holds for the model description that was recorded, and no other.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs


class Mark(NamedTuple):
    """A run that was recorded here.

    Attributes
    ----------
    path
        Where it was recorded, or packed.
    model
        Hash of its model description.
    root
        Folder that the package of its model factory was imported from; empty if there was none.
    """

    path: str
    model: str
    root: str = ""


def leave_mark(folder: Path, facts: Mapping[str, Any], *, root: str | None = None) -> None:
    """Mark a run as recorded by this user on this machine.

    Without a writable state directory no mark is left, and replaying the run takes ``--trust`` or ``--model``.

    Parameters
    ----------
    folder
        A local run folder or packed store.
    facts
        The content of its run.json.
    root
        Folder that its model factory is imported from; by default the one that Python finds it in now.
    """
    model = model_description(facts)
    if model is None:
        return
    path = str(folder.resolve())
    mark = Mark(path, _digest(model), _root_of(str(model["factory"])) if root is None else root)
    file = _file_of(path)
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(mark._asdict()), encoding="utf-8")
        part.replace(file)


def find_mark(source: str | Path, facts: Mapping[str, Any]) -> Mark | None:
    """Return the mark of a run, None if it was not recorded here by this user with the model it names now."""
    model = model_description(facts)
    if model is None or "://" in str(source):
        return None
    path = str(Path(source).resolve())
    try:
        file = _file_of(path)
        if hasattr(os, "getuid") and file.stat().st_uid != os.getuid():
            return None
        mark = Mark(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return mark if (mark.path, mark.model) == (path, _digest(model)) else None


def model_description(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the model that run.json describes, a mapping with `factory` and `arguments`; None if it describes none."""
    describe = facts.get("describe")
    model = describe.get("model") if isinstance(describe, Mapping) else None
    return model if isinstance(model, Mapping) and isinstance(model.get("factory"), str) else None


def _file_of(path: str) -> Path:
    return platformdirs.user_state_path("trajlab") / "recorded" / f"{sha256(path.encode()).hexdigest()}.json"


def _digest(model: Mapping[str, Any]) -> str:
    return sha256(json.dumps(model, sort_keys=True, default=str).encode()).hexdigest()


def _root_of(factory: str) -> str:
    """Return the folder from which Python imports the top-level package of a factory now."""
    package = factory.partition(":")[0].partition(".")[0]
    try:
        spec = find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):
        return ""
    if spec is None or spec.origin in (None, "built-in", "frozen"):
        return ""
    home = Path(str(spec.origin)).resolve().parent
    return str(home.parent if spec.submodule_search_locations else home)
