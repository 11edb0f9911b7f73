"""Damage that tests do to files of every format."""

import os


class Thief:
    """An object whose unpickling runs a command; its trace is a file."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def cut(path, shares=(0.0, 0.02, 0.3, 0.6, 0.95, 0.999)):
    """Iterate over cut-off versions of a file, which is restored at the end."""
    whole = path.read_bytes()
    for share in shares:
        path.write_bytes(whole[: int(len(whole) * share)])
        yield share
    path.write_bytes(whole)


def flipped(path, rng, times):
    """Iterate over versions of a file with some bytes changed; the file is restored at the end."""
    whole = path.read_bytes()
    for _ in range(times):
        raw = bytearray(whole)
        for at in rng.integers(0, len(raw), 3):
            raw[at] = rng.integers(0, 256)
        path.write_bytes(bytes(raw))
        yield bytes(raw)
    path.write_bytes(whole)
