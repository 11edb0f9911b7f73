"""What a PyTorch file that is not weights alone holds, read from its pickle's opcodes, which are never executed."""

import pickletools
import re
import zipfile
from collections.abc import Sequence
from typing import IO

from trajlab.errors import first_of

STANDARD = re.compile(
    r"(torch|collections|numpy|pathlib)\.|argparse\.Namespace$|_codecs\.encode$"
    r"|(builtins|__builtin__)\.(set|frozenset|list|dict|tuple|int|float|complex|bool|str|bytes|bytearray|slice|range)$"
)
"""Names that say nothing of whose objects they are."""

MOST_NAMED = 3
"""Most names of objects that an error shows."""

REMEDY = "load it where you trust it, and save model.state_dict() alone for every step with safetensors.torch.save_file"

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
    foreign = list(dict.fromkeys(name for name in names if not STANDARD.match(name)))
    if modules:
        return (
            f"it is a whole pickled module ({(foreign or modules)[0]:.100}), not a state_dict, and unpickling it would "
            f"run code from the file; {REMEDY}"
        )
    return describe_objects(foreign)


def describe_objects(names: Sequence[str]) -> str:
    """Return what a file is that holds pickled objects of some classes and functions; empty for none."""
    if not names:
        return ""
    objects = first_of((f"{name:.100}" for name in names), MOST_NAMED)
    return f"it holds pickled objects ({objects}), and unpickling them would run code from the file; {REMEDY}"


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
