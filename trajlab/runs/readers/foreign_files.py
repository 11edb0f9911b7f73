"""Files that are no checkpoints of a format that is read: what they are, and the way out."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from trajlab.runs.disk.remote import open_bytes

BEGINNINGS = (
    (b"version https://git-lfs", "it is a pointer of Git LFS, not the file itself; run `git lfs pull` in its folder"),
    (b"<!doctype html", "it is a web page (HTML), not a checkpoint; download the file itself, not its page"),
    (b"<html", "it is a web page (HTML), not a checkpoint; download the file itself, not its page"),
    (b"<?xml", "it is an XML document, perhaps the error of an object store; download the file again"),
    (b'{"error', "it is the error message of a server (JSON); download the file again, with access to it"),
    (b"GGUF", "it is a GGUF file of llama.cpp; name a folder of the checkpoints that it was converted from"),
    (b"\x1f\x8b", "it is compressed with gzip; unpack it with gunzip"),
    (b"\xfd7zXZ", "it is compressed with xz; unpack it with unxz"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with Zstandard; unpack it with unzstd"),
    (b"BZh", "it is compressed with bzip2; unpack it with bunzip2"),
)
"""How files begin, in lower case where they are text, and what that says."""

HDF5 = b"\x89HDF\r\n\x1a\n"
TENSORFLOW = "load them with tf.train.load_checkpoint and save the variables of each step with numpy.savez"
KINDS = {
    ".onnx": ("ONNX", "save the arrays of its initializers for each step with numpy.savez"),
    ".msgpack": ("Flax", "restore them with flax.serialization and save the arrays of each step with numpy.savez"),
    ".gguf": ("llama.cpp", "name a folder of the checkpoints that they were converted from"),
    ".ggml": ("llama.cpp", "name a folder of the checkpoints that they were converted from"),
    ".pb": ("TensorFlow", TENSORFLOW),
    ".index": ("TensorFlow", TENSORFLOW),
    ".meta": ("TensorFlow", TENSORFLOW),
    ".tflite": ("TensorFlow Lite", "name a folder of the checkpoints that they were converted from"),
    ".keras": ("Keras", "save each step with model.save_weights('step1.weights.h5')"),
    ".pkl": ("pickle", "load them where you trust them, and save each state_dict with torch.save or numpy.savez"),
    ".pickle": ("pickle", "load them where you trust them, and save each state_dict with torch.save or numpy.savez"),
    ".joblib": ("joblib", "load them where you trust them, and save the arrays of each step with numpy.savez"),
    ".npy": ("NumPy, one array each", "save all arrays of a step in one file with numpy.savez"),
    ".pdparams": ("PaddlePaddle", "save the arrays of each step with numpy.savez"),
    ".mat": ("MATLAB", "save the arrays of each step with numpy.savez"),
    ".distcp": ("torch.distributed.checkpoint", "restore the file .metadata beside them"),
    ".tar.gz": ("archive", "unpack them"),
    ".tgz": ("archive", "unpack them"),
    ".tar": ("archive", "unpack them, or rename them to .pth.tar if torch.save wrote them"),
}  # fmt: skip
"""Suffixes of files that are not read: whose they are, and the way out."""

SEEN_BYTES = 64


def describe_file(path: str) -> str:
    """Return what a file that cannot be read is, by its first bytes, and the way out; empty if it is nothing known."""
    try:
        with open_bytes(path) as file:
            raw = file.read(SEEN_BYTES)
    except OSError:
        return ""
    if not raw:
        return "it is empty (0 bytes); restore it, or move it out of the folder"
    text = raw.removeprefix(b"\xef\xbb\xbf").lstrip()
    if raw.startswith(HDF5):
        return "" if path.endswith((".h5", ".hdf5")) else "it is an HDF5 file (Keras); rename it to .weights.h5"
    return next((words for begin, words in BEGINNINGS if raw.startswith(begin) or text.lower().startswith(begin)), "")


def describe_foreign(folder: Path) -> str:
    """Return what a folder holds in formats that are not read, and the way out; empty if there is nothing known.

    Parameters
    ----------
    folder
        The folder, whose subfolders are looked into, too.
    """
    suffixes = Counter(suffix for name in _names(folder) if (suffix := _suffix_of(name)))
    if not suffixes:
        return ""
    suffix, count = suffixes.most_common(1)[0]
    origin, remedy = KINDS[suffix]
    files = f"files {suffix} ({origin}) are" if count > 1 else f"file {suffix} ({origin}) is"
    return f"its {count} {files} not read; {remedy}"


def _names(folder: Path) -> Iterable[str]:
    for entry in folder.iterdir():
        if not entry.name.startswith("."):
            yield entry.name
            if entry.is_dir():
                yield from (inside.name for inside in entry.iterdir())


def _suffix_of(name: str) -> str:
    return next((suffix for suffix in sorted(KINDS, key=len)[::-1] if name.endswith(suffix)), "")
