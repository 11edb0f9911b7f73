"""Folders that are one checkpoint themselves, rather than a folder of checkpoints."""

import re
from collections.abc import Sequence
from pathlib import Path

from trajlab.runs.readers.formats import Format
from trajlab.runs.readers.weight_files import weight_files

PIPELINE = "model_index.json"
"""File that lists the models of a pipeline of diffusers."""

DIFFUSERS = "diffusion_pytorch_model"
"""How diffusers names files of weights."""

STATE = re.compile(r"^(model|pytorch_model)(?:_(\d+))?\.(safetensors|bin)$")
"""Files of the models in a folder that accelerate's save_state wrote: the first has no number."""


def is_checkpoint(folder: Path, formats: Sequence[Format] = ()) -> bool:
    """Return whether a folder is one checkpoint.

    It is one if torch.distributed.checkpoint wrote it, if it holds the models of a pipeline of diffusers in a folder
    each, or the models of a state of accelerate, model.safetensors, model_1.safetensors and so on.
    """
    if (folder / ".metadata").is_file():
        return True
    files = weight_files(folder, formats)
    if any(Path(file).parent != folder for file in files):
        return (folder / PIPELINE).is_file() or any(Path(file).name.startswith(DIFFUSERS) for file in files)
    matches = [STATE.match(Path(file).name) for file in files]
    if len(files) < 2 or not all(matches):
        return False
    numbers = sorted(int(match[2] or 0) for match in matches if match)
    return numbers == list(range(len(numbers)))
