"""Write files completely or not at all: under a temporary name, then renamed, from a thread of its own."""

import json
import os
import queue
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from trajlab.errors import TrajlabError
from trajlab.record.frozen import INDEX_FILE, SHARDS, FrozenShards, weight_map
from trajlab.runs.disk.manifest import note_files
from trajlab.schema import MODEL_FILE, OPTIMIZER_FILE

TEMPORARY = ".tmp-"
"""Prefix of the names of unfinished files and folders."""


@contextmanager
def naming_failures(path: Path) -> Iterator[None]:
    """Turn a failed write into an error that names the file."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise TrajlabError(
            f"cannot write {path}: {error}; earlier steps are intact, so free space or repair the disk, then continue "
            "with Recorder(..., resume=True)"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; the file written there replaces it at the end of the block."""
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, completely or not at all."""
    with naming_failures(path), replacing(path) as temporary:
        save_file(dict(tensors), temporary, metadata=dict(metadata))


def write_text(path: Path, text: str) -> None:
    """Write a text file, completely or not at all."""
    with naming_failures(path), replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, completely or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_checkpoint(
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    frozen: Collection[str] = (),
    shards: FrozenShards | None = None,
    optimizers: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write a folder with the weights and buffers of one step, completely or not at all.

    Parameters
    ----------
    folder
        The folder.
    tensors
        Weights and buffers by name.
    frozen
        Names of those that are frozen, which get a shard of their own.
    shards
        Writer of that shard, for all snapshots of a run.
    optimizers
        States of the optimizers; None for none.
    """
    temporary = folder.with_name(TEMPORARY + folder.name)
    with naming_failures(folder / MODEL_FILE):
        try:
            temporary.mkdir()
            file, trained = MODEL_FILE, dict(tensors)
            if frozen and shards is not None:
                file, still = SHARDS[0], {name: trained.pop(name) for name in tensors if name in frozen}
                shards.write(temporary / SHARDS[1], still, folder / SHARDS[1])
                (temporary / INDEX_FILE).write_text(json.dumps(weight_map(tensors, frozen), indent=1) + "\n")
            save_file(trained, temporary / file, metadata={"format": "pt"})
            if optimizers is not None:
                torch.save(list(optimizers), temporary / OPTIMIZER_FILE)
            for written in temporary.iterdir():
                _flush_to_disk(written)
            os.rename(temporary, folder)
            note_files(folder.parent, *sorted(folder.iterdir()))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Writer:
    """A thread that writes files one after another, in the order of submission.

    At most one write waits while another is in progress, so that memory stays constant when the disk is slower than
    training. After a failure nothing more is written, so that the files have no gap.
    """

    def __init__(self) -> None:
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=1)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="trajlab-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Submit a write; blocks while another one is waiting already."""
        self._jobs.put(job)

    def raise_failure(self) -> None:
        """Raise the error of the thread, if there was one."""
        if self._failure is not None:
            raise TrajlabError(str(self._failure)) from self._failure

    def wait(self) -> None:
        """Wait until all submitted files are on disk; raise the error if one failed."""
        self._jobs.join()
        self.raise_failure()

    def stop(self) -> None:
        """Finish all submitted writes, then end the thread."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def _work(self) -> None:
        while self._write_next():
            pass

    def _write_next(self) -> bool:
        job = self._jobs.get()
        try:
            if job is not None and self._failure is None:
                job()
        except Exception as error:
            self._failure = error
        finally:
            self._jobs.task_done()
        return job is not None
