"""Frozen parameters of snapshots, which are stored once: a shard of their own that later snapshots link to."""

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import torch

from trajlab.record.tensor_file import write_safetensors
from trajlab.runs.disk.manifest import Checksum

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
"""Files of a snapshot with frozen parameters, as Hugging Face names shards: all else, and the frozen ones."""

INDEX_FILE = "model.safetensors.index.json"
"""Says which shard holds which tensor."""


class FrozenShards:
    """Writes the shard of frozen parameters where they differ from those of the snapshot before, else links to it.

    Whether they differ is read from a hash of all their bits, so that one that was changed by hand is stored anew.
    Where the file system has no hard links, the shard is copied.
    """

    def __init__(self) -> None:
        self._digest = b""
        self._path = Path()
        self._checksum = Checksum.of(b"")

    def write(self, path: Path, tensors: Mapping[str, torch.Tensor], final: Path) -> Checksum:
        """Write the shard to a path in a folder that will be renamed, and return its checksum.

        Parameters
        ----------
        path
            Where to write.
        tensors
            The frozen parameters.
        final
            Where the shard will be after renaming.
        """
        digest = digest_of(tensors)
        if digest != self._digest or not self._path.is_file():
            self._checksum = write_safetensors(path, tensors, {"format": "pt"})
        else:
            try:
                os.link(self._path, path)
            except OSError:
                shutil.copyfile(self._path, path)
        self._digest, self._path = digest, final
        return self._checksum


def digest_of(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return a hash of names, shapes, types and bits of tensors."""
    digest = hashlib.blake2b()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def weight_map(tensors: Mapping[str, torch.Tensor], frozen: Collection[str]) -> dict[str, object]:
    """Return the content of the index of a snapshot in two shards."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return {"metadata": {"total_size": size}, "weight_map": {name: SHARDS[name in frozen] for name in tensors}}
