"""Facts of a run of Hugging Face's Trainer: what config.json and training_args.bin say, without running code."""

import io
import pickle
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trajlab.runs.disk.remote import read_bytes
from trajlab.runs.disk.zip_members import open_member, read_members
from trajlab.runs.readers.distributed_metadata import BUILTINS

ARGUMENTS_FILE = "training_args.bin"

LONGEST = 4 << 20
"""Most bytes of a file of arguments; those of the Trainer have some kilobytes."""

LONGEST_TEXT = 100
"""Most characters of a fact."""

OF_CONFIG = {
    "architecture": ("model_type",), "width": ("hidden_size", "n_embd", "d_model"),
    "blocks": ("num_hidden_layers", "n_layer", "num_layers"), "heads": ("num_attention_heads", "n_head", "num_heads"),
    "vocabulary": ("vocab_size",), "type": ("dtype", "torch_dtype"),
}  # fmt: skip
"""Facts of config.json, with the names of its entries; the first that is there counts."""

OF_ARGUMENTS = {
    "optimizer": "optim", "lr": "learning_rate", "schedule": "lr_scheduler_type", "warmup_steps": "warmup_steps",
    "warmup_ratio": "warmup_ratio", "weight_decay": "weight_decay", "beta1": "adam_beta1", "beta2": "adam_beta2",
    "epsilon": "adam_epsilon", "max_grad_norm": "max_grad_norm", "batch": "per_device_train_batch_size",
    "accumulation": "gradient_accumulation_steps", "epochs": "num_train_epochs", "max_steps": "max_steps",
    "seed": "seed", "bf16": "bf16", "fp16": "fp16",
}  # fmt: skip
"""Facts of the arguments, with the names of their entries."""

UNSET = {"warmup_ratio": (0, 0.0, None), "warmup_steps": (0, 0.0), "max_steps": (-1,), "bf16": (False,),
         "fp16": (False,)}  # fmt: skip
"""Values that say that an argument is not used."""


def trainer_facts(folder: Path, last: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's config and arguments of the Trainer say of it, as `describe` of run.json would.

    Parameters
    ----------
    folder
        The folder of checkpoints.
    last
        Name of the last checkpoint in it.
    config
        The content of config.json; empty if there is none.
    """
    facts = {
        fact: config[next(name for name in names if name in config)]
        for fact, names in OF_CONFIG.items()
        if any(name in config for name in names)
    }
    arguments: dict[str, Any] = {}
    for path in (folder / last / ARGUMENTS_FILE, folder / ARGUMENTS_FILE):
        if not arguments and path.is_file() and not path.is_symlink():
            with suppress(OSError, ValueError):
                arguments = read_arguments(path)
    for fact, name in OF_ARGUMENTS.items():
        if name in arguments and arguments[name] not in UNSET.get(fact, ()):
            facts[fact] = arguments[name]
    return {fact: plain for fact, value in facts.items() if (plain := _plain(value)) is not None}


def read_arguments(path: Path) -> dict[str, Any]:
    """Read the entries of the arguments that torch.save wrote, none of which becomes more than a record.

    Raises
    ------
    ValueError
        The file is damaged, too long, or none of arguments.
    """
    raw = io.BytesIO(read_bytes(path))
    if len(raw.getbuffer()) > LONGEST:
        raise ValueError(f"it has more than {LONGEST:,} bytes")
    if zipfile.is_zipfile(raw):
        members = read_members(raw)
        name = next((name for name in members if name.endswith("/data.pkl")), None)
        if name is None or members[name].size > LONGEST:
            raise ValueError("it has no pickle of that size")
        with open_member(raw, members, name) as member:
            raw = io.BytesIO(member.read())
    raw.seek(0)
    try:
        content = _Unpickler(raw).load()
    except Exception as error:  # damaged bytes can raise anything
        raise ValueError(str(error) or repr(error)) from error
    state = getattr(content, "state", content)
    if not isinstance(state, dict):
        raise ValueError("it holds no entries")
    return {str(name): value for name, value in state.items()}


class _Record:
    """What stands for an object of any class in a pickle: its arguments, and its state."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _member(record: Any, name: Any) -> Any:
    """Return a member of an enumeration, which early versions of Python 3.11 pickle as an attribute of its class.

    The values of the enumerations of transformers are their names in lower case.
    """
    is_record = isinstance(record, type) and issubclass(record, _Record)
    return record(name.lower()) if is_record and isinstance(name, str) else None


class _Unpickler(pickle.Unpickler):
    """Unpickler that imports nothing: each class and function that a pickle names is a record of its own."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a new class of records."""
        return _member if module in BUILTINS and name == "getattr" else type("Record", (_Record,), {})

    def persistent_load(self, pid: Any) -> Any:
        """Return nothing for tensors, whose bytes are in other files."""


def _plain(value: Any) -> str | int | float | None:
    """Return a number or a text as it is, and a member of an enumeration as its value; None for all else."""
    if isinstance(value, _Record):
        value = value.args[0] if len(value.args) == 1 else None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return value.removeprefix("torch.") if len(value) <= LONGEST_TEXT else None
    return value if isinstance(value, int | float) else None
