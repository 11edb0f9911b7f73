"""Damage to files: bytes, values in JSON, members of archives, and what stands in a file's place."""

import io
import json
import os
import struct
import zipfile

ODD = [
    None, True, False, 0, -1, 3, 2**63, -(2**63) - 1, 10**300, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x",
    "²", "٣", "-1", "../x", "/etc/passwd", "a/../../b", "\0", "\n", "\x1b[31m", "é", "<script>alert(1)</script>",
    "os:system", "http://127.0.0.1:9/x", "file:///etc/passwd", "x" * 10_000, [], {}, [[]], [None], [1, "x"], {"a": 1},
    {"": None}, {"shape": [1]}, [0] * 100, [-1], [2**40, 2**40], "float64", "int8", "bfloat16", "object", "$\\frac{",
    "%s{}", "=1+1",
]  # fmt: skip
"""Values that take the place of others in JSON."""

RAW = [
    b"", b"\0", b"{", b"[]", b"null", b"3", b'""', b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5_000, b"\xff\xfe\x00",
    b'{"format": ' + b"9" * 5_000 + b"}", b'"\\ud800"', b"\x93NUMPY", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"NaN",
    b"version https://git-lfs.github.com/spec/v1\n", b"<!doctype html>", "²".encode(), b"a: &a [*a, *a]\nb: *a\n",
    b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", b"drift: 2024-99-99\n", b"? [a]: b\n",
    b"!!python/object:os.system {}\n",
]  # fmt: skip
"""Contents that take the place of a file's."""


def damage(path, rng):
    """Damage a file in one of many ways."""
    raw = path.read_bytes()
    ways = [_cut, _flip, _overwrite, _insert, _drop, _replace, _link, _away]
    if path.suffix == ".json":
        ways += [_json] * 12
    if path.suffix == ".jsonl":
        ways += [_line] * 12
    if path.suffix == ".safetensors" and len(raw) > 8:
        ways += [_header] * 12
    if raw[:2] == b"PK":
        ways += [_member] * 12
    ways[rng.integers(len(ways))](path, raw, rng)


def odd(document, rng):
    """Return a document with one value, or key, replaced."""
    nodes = [node for node in _walk(document) if node]
    if not nodes:
        return ODD[rng.integers(len(ODD))]
    node = nodes[rng.integers(len(nodes))]
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = keys[rng.integers(len(keys))]
    way = rng.integers(6)
    if way == 0:
        node.pop(key)
    elif way == 1 and isinstance(node, dict):
        name = ODD[rng.integers(len(ODD))]
        node[name if isinstance(name, str) else "odd"] = node.pop(key)
    else:
        node[key] = ODD[rng.integers(len(ODD))]
    return document


def _walk(document):
    if isinstance(document, dict | list):
        yield document
        for child in document.values() if isinstance(document, dict) else document:
            yield from _walk(child)


def _cut(path, raw, rng):
    path.write_bytes(raw[: rng.integers(len(raw) + 1)])


def _flip(path, raw, rng):
    changed = bytearray(raw or b"\0")
    for at in rng.integers(len(changed), size=rng.integers(1, 5)):
        changed[at] ^= 1 << rng.integers(8)
    path.write_bytes(changed)


def _overwrite(path, raw, rng):
    changed = bytearray(raw)
    at = rng.integers(len(raw) + 1)
    changed[at : at + rng.integers(1, 64)] = rng.bytes(rng.integers(1, 64))
    path.write_bytes(changed)


def _insert(path, raw, rng):
    at = rng.integers(len(raw) + 1)
    path.write_bytes(raw[:at] + rng.bytes(rng.integers(1, 64)) + raw[at:])


def _drop(path, raw, rng):
    at = rng.integers(len(raw) + 1)
    path.write_bytes(raw[:at] + raw[at + rng.integers(1, 64) :])


def _replace(path, raw, rng):
    path.write_bytes(RAW[rng.integers(len(RAW))])


def _link(path, raw, rng):
    path.unlink()
    target = [path.name, "missing", "/dev/zero", "/etc/passwd", "..", "."][rng.integers(6)]
    os.symlink(target, path)


def _away(path, raw, rng):
    path.unlink()
    way = rng.integers(3)
    if way == 0:
        path.mkdir()
    elif way == 1:
        os.mkfifo(path)


def _json(path, raw, rng):
    document = json.loads(raw)
    for _ in range(rng.integers(1, 3)):
        document = odd(document, rng)
    path.write_text(json.dumps(document))


def _line(path, raw, rng):
    lines = raw.decode().splitlines() or ["{}"]
    at = rng.integers(len(lines))
    lines[at] = (
        json.dumps(odd(json.loads(lines[at]), rng))
        if rng.integers(3)
        else RAW[rng.integers(len(RAW))].decode(errors="replace")
    )
    path.write_text("\n".join(lines) + "\n", errors="replace")


def _header(path, raw, rng):
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.dumps(odd(json.loads(raw[8 : 8 + size]), rng)).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + raw[8 + size :])


def _member(path, raw, rng):
    """Damage a member of an archive, and write the archive anew, so that all checksums fit."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[rng.integers(len(members))]
    content = bytearray(members[name])
    if not content or rng.integers(8) == 0:
        members.pop(name)
    else:
        for at in rng.integers(min(len(content), 400), size=rng.integers(1, 4)):
            content[at] = rng.integers(256)
        members[name] = bytes(content)
    if rng.integers(8) == 0:
        members["../../escaped"] = b"x"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if rng.integers(4) == 0 else zipfile.ZIP_STORED) as archive:
        for member, held in members.items():
            archive.writestr(member, held)
