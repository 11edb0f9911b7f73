"""What a PyTorch file that is not weights alone holds, told from its pickle's opcodes, which are never executed."""

import pickletools
import zipfile
from typing import IO

STANDARD = ("torch.", "collections.", "builtins.", "__builtin__.", "numpy.", "_codecs.")
"""Beginnings of names that say nothing of whose module it is."""

MOST_BYTES = 50_000_000
"""Longest pickle whose opcodes are read."""


def describe_pickle(file: IO[bytes]) -> str:
    """Return what a file that cannot be loaded as weights only is, and the way out; empty if it is nothing known.

    Parameters
    ----------
    file
        The open file.
    """
    try:
        file.seek(0)
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
                if any(name.endswith("/constants.pkl") for name in names):
                    return (
                        "it is a TorchScript archive; save torch.jit.load(FILE).state_dict() with torch.save for every "
                        "step"
                    )
                pickled = next((archive.getinfo(name) for name in names if name.endswith("data.pkl")), None)
                if pickled is None or pickled.file_size > MOST_BYTES:
                    return ""
                raw = archive.read(pickled)
        else:
            file.seek(0)
            raw = file.read(MOST_BYTES)
        names = _globals(raw)
    except Exception:  # damaged bytes can raise anything; then there is nothing to tell
        return ""
    modules = [name for name in names if name.startswith("torch.nn.modules.")]
    if not modules:
        return ""
    foreign = [name for name in names if not name.startswith(STANDARD)]
    return (
        f"it is a whole pickled module ({(foreign or modules)[0]}), not a state_dict, and unpickling it would run code "
        "from the file; load it where you trust it and save model.state_dict() instead"
    )


def _globals(raw: bytes) -> list[str]:
    """Return the names of the classes and functions that pickles name, in their order."""
    names: list[str] = []
    strings: list[str] = []
    position = 0
    while position < len(raw):
        stopped = position
        for opcode, argument, at in pickletools.genops(raw[position:]):
            if opcode.name == "GLOBAL":
                names.append(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL" and len(strings) > 1:
                names.append(".".join(strings[-2:]))
            elif isinstance(argument, str):
                strings.append(argument)
            stopped = position + (at or 0) + 1
        position = stopped
        if len(names) > 10_000 or raw[position : position + 1] != b"\x80":
            break
    return names
