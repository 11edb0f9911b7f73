"""Inputs on which trajlab once showed a traceback or hung, each as a small generator, and how they are read."""

import json
import os
import struct

import numpy as np
import torch
from safetensors.torch import save_file

import trajlab

DEEP = "[" * 100_000
DIGITS = "9" * 5000


def run(folder, facts="{}", metrics=""):
    """Write a run of two snapshots."""
    for step in (1, 2):
        (folder / f"checkpoint-{step}").mkdir()
        save_file({"w": torch.ones(2, 3) * step}, folder / f"checkpoint-{step}" / "model.safetensors")
    (folder / "metrics.jsonl").write_text(metrics)
    content = {"format": "trajlab-snapshots-1", "parameters": ["w"]} if facts == "{}" else facts
    (folder / "run.json").write_text(content if isinstance(content, str) else json.dumps(content))


def facts(**entries):
    """Return the writer of a run with odd facts."""
    return lambda folder: run(folder, json.dumps({"format": "trajlab-snapshots-1", "parameters": ["w"]} | entries))


def header(text):
    """Return the writer of a safetensors file with a header."""
    raw = text.encode()
    return lambda folder: (folder / "step1.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)


def index(content):
    """Return the writer of a sharded checkpoint with an index."""

    def write(folder):
        (folder / "checkpoint-1").mkdir()
        save_file({"w": torch.ones(2)}, folder / "checkpoint-1" / "model-00001-of-00001.safetensors")
        (folder / "checkpoint-1" / "model.safetensors.index.json").write_text(json.dumps(content))

    return write


def nested(folder):
    """Write a state dict below 200 mappings."""
    content = {"w": torch.ones(2)}
    for _ in range(200):
        content = {"a": content}
    torch.save(content, folder / "step1.pt")


def objects(folder):
    """Write a checkpoint with an object whose class weights_only does not load."""
    from fractions import Fraction

    torch.save({"model": {"w": torch.ones(2)}, "ratio": Fraction(1, 2)}, folder / "step1.pt")


def names(*files):
    """Return the writer of checkpoints with odd names."""

    def write(folder):
        for name in files:
            save_file({"w": torch.ones(2, 2)}, folder / name)

    return write


def tensors(*keys):
    """Return the writer of two checkpoints with odd names of tensors."""

    def write(folder):
        for step in (1, 2):
            save_file({key: torch.ones(2, 2) * step for key in keys}, folder / f"step{step}.safetensors")

    return write


def loop(folder):
    """Write a segment that is a link to itself."""
    run(folder)
    (folder / "gradients").mkdir()
    os.symlink("0-1.safetensors", folder / "gradients" / "0-1.safetensors")


def huge(folder):
    """Write an archive of one array that states more bytes than it can hold."""
    np.savez_compressed(folder / "step1.npz", w=np.zeros(8))
    raw = (folder / "step1.npz").read_bytes()
    (folder / "step1.npz").write_bytes(raw.replace(b"(8,)", b"(9,)"))


def result(folder):
    """Write a result."""
    from trajlab.running.compute import write

    write({folder / "results" / "drift.zarr": trajlab.run("drift", trajlab.example(2))})


def piped(folder):
    """Write a store with a pipe in place of a chunk, which reading would wait for."""
    trajlab.pack(trajlab.from_arrays({"w": np.ones((2, 3))}), folder / "run.zarr")
    (folder / "run.zarr" / "weights" / "step" / "c" / "0").unlink()
    os.mkfifo(folder / "run.zarr" / "weights" / "step" / "c" / "0")


def unknown_keys(folder):
    """Write a store whose arrays name their chunks in an unknown way."""
    trajlab.pack(trajlab.from_arrays({"w": np.ones((2, 3))}), folder / "run.zarr")
    for path in (folder / "run.zarr").rglob("zarr.json"):
        path.write_text(path.read_text().replace('"default"', '"base64"'))


def piped_result(folder):
    """Write a result with a pipe in place of its metadata."""
    result(folder)
    (folder / "results" / "drift.zarr" / "zarr.json").unlink()
    os.mkfifo(folder / "results" / "drift.zarr" / "zarr.json")


def piped_chunk(folder):
    """Write a store of raw chunks, as other programs do, with a pipe in place of one."""
    trajlab.pack(trajlab.from_arrays({"w": np.ones((2, 3))}), folder / "run.zarr")
    raw = [{"name": "bytes", "configuration": {"endian": "little"}}]
    root = json.loads((folder / "run.zarr" / "zarr.json").read_text())
    value = root["consolidated_metadata"]["metadata"]["weights/w/value"]
    value["codecs"] = raw
    (folder / "run.zarr" / "zarr.json").write_text(json.dumps(root))
    for chunk in (folder / "run.zarr" / "weights" / "w" / "value" / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
            os.mkfifo(chunk)


def sparse(name):
    """Return the writer of a run with a file that states a terabyte and takes no disk."""

    def write(folder):
        run(folder)
        with open(folder / name, "wb") as file:
            file.truncate(1 << 40)

    return write


INFO, DRIFT, PACK = ("info", "{}"), ("drift", "{}", "{}/out.zarr", "--workers", "1"), ("pack", "{}", "{}/x.zarr")

CORPUS = {
    "deep run.json": (lambda folder: run(folder, DEEP), INFO),
    "run.json with a number of many digits": (lambda folder: run(folder, '{"format": ' + DIGITS + "}"), INFO),
    "run.json that is a list": (lambda folder: run(folder, "[]"), INFO),
    "steps that are a text": (facts(steps="x"), INFO),
    "left_aside that is a list": (facts(steps={"left_aside": ["x"]}), INFO),
    "modules that are numbers": (facts(modules={"": 3}), INFO),
    "tied to a number": (facts(tied={"w": 3}), INFO),
    "probe facts that are a list": (facts(probe=[1]), INFO),
    "buffers that are a number": (facts(buffers=3), INFO),
    "deep metrics": (lambda folder: run(folder, metrics=DEEP + "\n"), INFO),
    "metrics with a number of many digits": (
        lambda folder: run(folder, metrics=f'{{"step": {DIGITS}}}\n'),
        INFO,
    ),
    "metrics that are a list": (lambda folder: run(folder, metrics="[1]\n"), INFO),
    "metrics at step infinity": (lambda folder: run(folder, metrics='{"step": Infinity}\n'), INFO),
    "half of a character": (lambda folder: run(folder, metrics='{"step": 1, "\\ud800": 1}\n'), INFO),
    "a loop of links": (loop, DRIFT),
    "a pipe in a store": (piped, ("info", "{}/run.zarr")),
    "a pipe in a store, checked": (piped, ("check", "{}/run.zarr")),
    "a pipe in place of a chunk": (piped_chunk, ("drift", "{}/run.zarr", "{}/out.zarr", "--workers", "1")),
    "a pipe in place of a result's zarr.json": (piped_result, ("report", "{}/results", "{}/report.html")),
    "a pipe in place of a result's zarr.json, overwritten": (
        lambda folder: (piped_result(folder), run(folder)),
        ("drift", "{}", "{}/results/drift.zarr", "--overwrite"),
    ),
    "a sparse metrics.jsonl": (sparse("metrics.jsonl"), INFO),
    "a sparse run.json": (sparse("run.json"), INFO),
    "a sparse manifest": (sparse("manifest.jsonl"), ("check", "{}")),
    "a result's zarr.json that is deep": (
        lambda folder: (result(folder), (folder / "results" / "drift.zarr" / "zarr.json").write_text(DEEP)),
        ("report", "{}/results", "{}/report.html"),
    ),
    "chunk keys of an unknown kind": (unknown_keys, ("info", "{}/run.zarr")),
    "chunk keys of an unknown kind, checked": (unknown_keys, ("check", "{}/run.zarr")),
    "chunk keys of an unknown kind, overwritten": (
        lambda folder: (unknown_keys(folder), run(folder)),
        ("pack", "{}", "{}/run.zarr", "--overwrite"),
    ),
    "header with a number of many digits": (header('{"w": ' + DIGITS + "}"), INFO),
    "header that is deep": (header(DEEP), INFO),
    "header of many dims": (
        header(json.dumps({"w": {"dtype": "F32", "shape": [0] * 99, "data_offsets": [0, 0]}})),
        INFO,
    ),
    "name that is a digit and no ASCII": (names("²-1.safetensors", "step²2.safetensors", "٣.safetensors"), INFO),
    "step that fits into no integer": (names("step999999999999999999B.safetensors", "step2.safetensors"), INFO),
    "index of a number": (index(3), INFO),
    "index of numbers": (index({"weight_map": {"w": 3}}), INFO),
    "index of nested names": (index({"weight_map": {"w": ["x"]}}), INFO),
    "index that leaves the folder": (index({"weight_map": {"w": "../../x.safetensors"}}), INFO),
    "index of an absolute path": (index({"weight_map": {"w": "/etc/passwd"}}), INFO),
    "index of a missing shard": (index({"weight_map": {"w": "model-00002-of-00002.safetensors"}}), INFO),
    "index with a NUL": (index({"weight_map": {"w": "\0"}}), INFO),
    "deeply nested state dict": (nested, INFO),
    "pickled objects": (objects, INFO),
    "array larger than its archive": (huge, DRIFT),
    "tensors named as paths": (tensors("../x", "/etc/passwd", "a\nb", "\x1b[31m", "a/../../b"), DRIFT),
    "tensors named as paths, packed": (
        tensors("../x", "/etc/x", "a\nb", "\x1b[31m", ".."),
        ("pack", "{}", "{}/x.zarr"),
    ),
    "tensors with numbers of many digits, and digits that are no ASCII": (
        tensors(f"h.{DIGITS}.weight", f"conv{DIGITS}", f"x{DIGITS}y", "h.².weight", "²", "conv٣"),
        INFO,
    ),
    "tensor with a long name": (tensors("x" * 10_000), ("pack", "{}", "{}/x.zarr")),
    "tensor with a NUL, imported": (tensors("a\0b"), ("import", "{}", "{}/imported")),
    "pattern that overflows": (names("step1.safetensors"), (*INFO, "--step-pattern", "(x{99999999999999999999})")),
    "pattern that is deep": (names("step1.safetensors"), (*INFO, "--series", "(" * 5000 + ")" * 5000)),
    "pattern of nothing": (names("step1.safetensors"), (*INFO, "--parameters", "[z-a]")),
    **{
        f"params.yaml: {name}": (
            lambda folder, raw=raw: (run(folder), (folder / "params.yaml").write_bytes(raw)),
            (*DRIFT, "--params", "{}/params.yaml"),
        )
        for name, raw in {
            "not UTF-8": b"\xff",
            "month 99": b"drift: 2024-99-99",
            "a loop": b"drift: &a [*a]",
            "digits": b"drift: {rtol: " + DIGITS.encode() + b"}",
            "an object": b"drift: !!python/object/apply:os.system [touch PWNED]",
            "a number as a name": b"drift: {3: 4, x: 5}",
        }.items()
    },
    **{
        f"claims: {name}": (
            lambda folder, text=text: (result(folder), (folder / "claims.json").write_text(text)),
            ("report", "{}/results", "{}/report.html", "--claims", "{}/claims.json"),
        )
        for name, text in {
            "deep": DEEP,
            "a number": "3",
            "odd types": '[{"claim": 3, "published": [], "measured": [], "holds": "yes"}]',
            "values that are texts": '[{"claim": "", "published": "", "measured": [{"what": "", "values": ["é"], '
            '"unit": ""}], "holds": "yes"}]',
            "an odd verdict": '[{"claim": "", "published": "", "measured": [], "holds": []}]',
        }.items()
    },
}
"""Writer and command line of each input; ``{}`` is its folder."""
