"""Names on disk: files, groups and versions."""

import re
from urllib.parse import quote, unquote

SNAPSHOTS_VERSION = "trajlab-snapshots-1"
"""`format` in run.json of a run folder."""

STORE_VERSION = "trajlab-1"
"""`Conventions` in the root attributes of a packed store."""

RESULT_VERSION = "trajlab-result-3"
"""`Conventions` in the attributes of a result; raised when names or attributes change, or a stage writes more."""

LEFT_OUT = "left_out"
"""Attr of a result, and of its totals, that names the tensors that are not in it."""

TOTALS_OVER = "totals_over"
"""Attr of a result that names the steps of its totals, if its tensors were recorded at different steps."""


def family(version: object) -> str:
    """Return what a version is of, without its number.

    >>> family("trajlab-result-1") == family(RESULT_VERSION), family(STORE_VERSION), family(None)
    (True, 'trajlab', '')
    """
    return str(version or "").rpartition("-")[0]


# Files of a run folder.
RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
PROBE_FILE = "probe.safetensors"
MANIFEST_FILE = "manifest.jsonl"
MODEL_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.pt"
GRADIENTS_FOLDER = "gradients"
INDICES_FILE = "indices.safetensors"

TRAINER_FILE = "trainer_state.json"
"""Log of Hugging Face's Trainer, in each of its checkpoints."""

CONFIG_FILE = "config.json"
"""Architecture of a network of transformers, in each of its checkpoints."""

ADAPTER_FILE = "adapter_config.json"
"""Settings of adapters of peft, in each of its checkpoints."""

STORE_FILE = "zarr.json"
"""Metadata at the root of a Zarr group; without it a packed store or a result does not open."""

UNFINISHED_FILE = ".trajlab-unfinished"
"""Marks a folder behind a URL while it is being written."""

# Groups of a packed store, and of `Trajectory.tree`.
WEIGHTS = "weights"
GRADIENTS = "gradients"
BUFFERS = "buffers"
OPTIMIZER = "optimizer"
HYPERPARAMETERS = "hyperparameters"
METRICS = "metrics"
PROBE = "probe"

NOT_NODES = re.compile(r"$|\.+$|step$|zarr\.json$|__")
"""Names that Zarr or trajlab reserve."""


def node_of(tensor: str) -> str:
    """Return the name of the node of a packed store that holds a tensor.

    >>> [node_of(name) for name in ("fc.weight", "a/b", "step", "..", "")]
    ['fc.weight', 'a%2Fb', '%73tep', '%2E.', '%']
    """
    node = quote(tensor, safe=" .-_")
    return f"%{ord(node[0]):02X}{node[1:]}" if node and NOT_NODES.match(node) else node or "%"


def tensor_of(node: str) -> str:
    """Return the name of the tensor that a node of a packed store holds.

    >>> [tensor_of(node_of(name)) for name in ("a/b", "step", "..", "", "%")]
    ['a/b', 'step', '..', '', '%']
    """
    return "" if node == "%" else unquote(node)


def checkpoint_folder(step: int) -> str:
    """Return the name of the folder that holds the snapshot of a step.

    >>> checkpoint_folder(500)
    'checkpoint-500'
    """
    return f"checkpoint-{step}"


def segment_file(first: int, last: int) -> str:
    """Return the name of the file that holds the gradients of the steps `first` to `last`, inclusive.

    >>> segment_file(0, 99)
    '0-99.safetensors'
    """
    return f"{first}-{last}.safetensors"
