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

from trajlab.errors import TrajlabError
from trajlab.record.frozen import INDEX_FILE, SHARDS, FrozenShards, weight_map
from trajlab.record.tensor_file import write_safetensors
from trajlab.runs.disk.manifest import Checksum, note_files
from trajlab.schema import MODEL_FILE, OPTIMIZER_FILE

TEMPORARY = ".tmp-"
"""Prefix of the names of unfinished files and folders."""


@contextmanager
def naming_failures(path: Path) -> Iterator[None]:
    """Turn a failed write into an error that names the file."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, TrajlabError):
            raise
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


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> Checksum:
    """Write a safetensors file, completely or not at all; return its checksum."""
    with naming_failures(path), replacing(path) as temporary:
        return write_safetensors(temporary, tensors, metadata)


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
            file, trained, written = MODEL_FILE, dict(tensors), {}
            if frozen and shards is not None:
                file, still = SHARDS[0], {name: trained.pop(name) for name in tensors if name in frozen}
                written[SHARDS[1]] = shards.write(temporary / SHARDS[1], still, folder / SHARDS[1])
                index = (json.dumps(weight_map(tensors, frozen), indent=1) + "\n").encode()
                (temporary / INDEX_FILE).write_bytes(index)
                written[INDEX_FILE] = Checksum.of(index)
            written[file] = write_safetensors(temporary / file, trained, {"format": "pt"})
            if optimizers is not None:
                torch.save(list(optimizers), temporary / OPTIMIZER_FILE)
                written[OPTIMIZER_FILE] = Checksum.of_file(temporary / OPTIMIZER_FILE)
            for name in written:
                _flush_to_disk(temporary / name)
            os.rename(temporary, folder)
            note_files(folder.parent, written={folder / name: checksum for name, checksum in written.items()})
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

    At most one file waits while another is being written, so that memory stays constant when the disk is slower than
    training. After a failure nothing more is written, so that the files have no gap.

    Parameters
    ----------
    patience
        Seconds after which a write that does not end, as on a mount that was lost, is an error; None waits forever.
    """

    def __init__(self, patience: float | None = None) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], object], bool] | threading.Event | None] = queue.SimpleQueue()
        self._files = threading.Semaphore(2)
        self._patience = patience
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="trajlab-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], object], *, small: bool = False) -> None:
        """Submit a write; blocks while another one is waiting already, unless this one is small.

        Raises
        ------
        TrajlabError
            The writes before it do not end.
        """
        if not small and not self._files.acquire(timeout=self._patience):
            raise self._stalled()
        self._jobs.put((job, small))

    def raise_failure(self) -> None:
        """Raise the error of the thread, if there was one."""
        if self._failure is not None:
            raise TrajlabError(str(self._failure)) from self._failure

    def wait(self) -> None:
        """Wait until all submitted files are on disk; raise the error if one failed."""
        done = threading.Event()
        self._jobs.put(done)
        while self._thread.is_alive() and not done.wait(self._patience or 1.0):
            if self._patience is not None:
                raise self._stalled()
        self.raise_failure()

    def stop(self, last: Callable[[], object] = lambda: None) -> None:
        """Finish all submitted writes, then end the thread.

        Parameters
        ----------
        last
            Called by the thread in the end, after a failure, too; if a write does not end, when it ends after all.
        """
        if self._thread.is_alive():
            self._last = last
            self._jobs.put(None)
            self._thread.join(self._patience)

    def _stalled(self) -> TrajlabError:
        return TrajlabError(f"cannot write: nothing was written in {self._patience:.0f} s; check the disk or its mount")

    def _work(self) -> None:
        while (submitted := self._jobs.get()) is not None:
            if isinstance(submitted, threading.Event):
                submitted.set()
                continue
            job, small = submitted
            try:
                if self._failure is None:
                    job()
            except Exception as error:
                self._failure = error
            finally:
                if not small:
                    self._files.release()
        self._last()
