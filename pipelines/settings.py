"""The settings of a study: its section of a params.yaml, at the size chosen there, and its runs.

A study is one network on one data set. Its runs are all combinations of init, optimizer, variant and seed. A variant
names changes of the section `training`: another normalization, a perturbed restart, another kind of gradient. It may
name `inits` and `optimizers` of its own, a part of the study's.

A file may hold several sizes: ``size: small`` merges ``sizes: {small: …}`` into the rest of the file, where null
removes a key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from trajlab.errors import BadSetting

PRETRAINED = "pretrained"
"""The init that reads weights from a file."""

RUNS = ("inits", "optimizers")
"""What a variant may restrict beside the settings of its training."""


@dataclass(frozen=True)
class Training:
    """The section `training` of a study.

    Attributes
    ----------
    model
        ``factory``, such as ``pipelines.zoo:lenet5``, and its ``arguments``.
    dataset
        A name that `pipelines.datasets.load` takes; or a mapping of ``name`` and its arguments.
    batch_size
        Images per update.
    gradients
        Entries recorded at every step: all (true), none (false), or a sample of at most this many per tensor.
    probe
        Number of test images, and of training images, stored with the run to replay snapshots on: the first ones.
    weights_every, weights_at
        Steps between recorded weights, or the recorded steps; one of the two. The end is always recorded.
    steps, epochs
        Number of updates, or of passes over the images; one of the two. 0 steps record a network as it is.
    images, test_images
        Number of images to train and to test on, the first ones; by default all.
    weights_in_a_row
        Number of consecutive steps recorded each time; two show a single update.
    image_shape
        Channels, height and width that `pipelines.datasets.images.fit` fits the images to; by default their own.
    image_fit
        How to enlarge images to that shape, one of `pipelines.datasets.images.FITS`.
    weights
        File of weights to start from: a state dict of torch or safetensors.
    pretrained
        File of weights for the init `pretrained`; its runs are left out if there is no such file. First and last layer
        start as `kaiming_normal` if theirs in the file are missing or of another shape.
    drop_last
        Whether to drop the images at the end of an epoch that fill no batch; else they are a smaller one.
    gain
        Factor of the weights of the inits in `pipelines.inits.GAINED`.
    gradient
        What to record in place of the gradients, one of `pipelines.gradients.KINDS`; training is the same.
    after_update
        Whether a row holds the weights after its update instead of those that its gradient was taken at.
    parent
        ``variant`` and ``step`` of the snapshot to start from, of the run that differs in the variant only.
    perturb
        Functions of `pipelines.perturb` by name, with their arguments; each perturbs the start.
    reorder
        Number added to the seed of the batches, so that a restart sees them in another order.
    """

    model: dict[str, Any]
    dataset: str | dict[str, Any]
    batch_size: int
    gradients: bool | int
    probe: int
    weights_every: int | None = None
    weights_at: list[int] | None = None
    steps: int | None = None
    epochs: int | None = None
    images: int | None = None
    test_images: int | None = None
    weights_in_a_row: int = 1
    image_shape: list[int] | None = None
    image_fit: str = "pad"
    weights: str | None = None
    pretrained: str | None = None
    drop_last: bool = True
    gain: float = 1.0
    gradient: str = "batch"
    after_update: bool = False
    parent: dict[str, Any] | None = None
    perturb: dict[str, dict[str, Any]] | None = None
    reorder: int = 0


class Run(NamedTuple):
    """A run of a study; without variants the variant is empty."""

    init: str
    optimizer: str
    seed: int
    variant: str = ""

    @property
    def name(self) -> str:
        """Return the name of the run's folder."""
        return "-".join([self.init, self.optimizer, *([self.variant] if self.variant else []), str(self.seed)])


def read_studies(file: Path) -> dict[str, dict[str, Any]]:
    """Read the sections of all studies in a file, at the size chosen there.

    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "params.yaml"
    >>> _ = file.write_text("{size: big, sizes: {big: {studies: {a: {seeds: [0, 1]}}}}, studies: {a: {seeds: [0]}}}")
    >>> read_studies(file)
    {'a': {'seeds': [0, 1]}}
    """
    settings = yaml.safe_load(file.read_text())
    if "size" in settings:
        size, sizes = settings["size"], settings.get("sizes", {})
        settings = merged(settings, choose("size", size, sizes) or {})
    return settings["studies"]


def runs_of(section: Mapping[str, Any]) -> list[Run]:
    """Return the runs of a study, each after the one that it restarts from."""
    variants = sorted(section.get("variants") or [""], key=lambda variant: _generation(section, variant))
    return [
        Run(init, optimizer, seed, variant)
        for variant, init, optimizer, seed in product(
            variants, section["inits"], section["optimizers"], section["seeds"]
        )
        if init in _variant(section, variant).get("inits", [init])
        and optimizer in _variant(section, variant).get("optimizers", [optimizer])
        and (init != PRETRAINED or pretrained(training_of(section, variant)).is_file())
    ]


def pretrained(training: Training) -> Path:
    """Return the file of weights for the init `pretrained`."""
    if training.pretrained is None:
        raise BadSetting("cannot start from `pretrained`: the training names no file; set `pretrained` to one")
    return Path(training.pretrained)


def generations(section: Mapping[str, Any]) -> list[list[Run]]:
    """Group the runs of a study: those that start afresh, those that restart from these, and so on."""
    parts: dict[int, list[Run]] = {}
    for run in runs_of(section):
        parts.setdefault(_generation(section, run.variant), []).append(run)
    return [parts[generation] for generation in sorted(parts)]


def trainings(section: Mapping[str, Any], runs: Iterable[Run]) -> list[list[Run]]:
    """Group the runs that record the same training, which differ in `gradient` or `after_update` only."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        trained = replace(training_of(section, run.variant), gradient="batch", after_update=False)
        groups.setdefault(f"{run.init} {run.optimizer} {run.seed} {trained}", []).append(run)
    return list(groups.values())


def training_of(section: Mapping[str, Any], variant: str) -> Training:
    """Return the checked training settings of a variant of a study."""
    changes = {name: value for name, value in _variant(section, variant).items() if name not in RUNS}
    settings = merged(section["training"], changes)
    required = {field.name: field.default is MISSING for field in fields(Training)}
    if unknown := sorted(set(settings) - set(required)):
        raise BadSetting(f"a study's training has no setting {', '.join(unknown)}; it takes {', '.join(required)}")
    if missing := [name for name, needed in required.items() if needed and name not in settings]:
        raise BadSetting(f"a study's training lacks {', '.join(missing)}; set them")
    for first, second in (("steps", "epochs"), ("weights_every", "weights_at")):
        if (settings.get(first) is None) == (settings.get(second) is None):
            raise BadSetting(f"a study's training takes {first} or {second}; set one of the two")
    return Training(**settings)


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge changes into nested settings; null removes a setting.

    >>> merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": None, "e": 4}})
    {'a': {'c': 2, 'e': 4}, 'd': 3}
    """
    result = dict(settings)
    for name, value in changes.items():
        old = result.pop(name, None)
        if isinstance(value, Mapping):
            result[name] = merged(old if isinstance(old, Mapping) else {}, value)
        elif value is not None:
            result[name] = value
    return {name: result[name] for name in [*(n for n in settings if n in result), *result]}


def choose(kind: str, name: str, choices: Mapping[str, Any]) -> Any:
    """Return the choice of a name; `kind` is what the error calls it."""
    if name not in choices:
        raise BadSetting(f"cannot find the {kind} {name!r}; choose {', '.join(map(str, choices))}")
    return choices[name]


def _variant(section: Mapping[str, Any], variant: str) -> dict[str, Any]:
    return choose("variant", variant, section.get("variants") or {"": {}}) or {}


def _generation(section: Mapping[str, Any], variant: str, descendants: tuple[str, ...] = ()) -> int:
    """Count the restarts between a fresh start and a variant."""
    parent = _variant(section, variant).get("parent")
    if parent is None:
        return 0
    if variant in descendants:
        raise BadSetting(f"the variants {', '.join(descendants)} restart from each other; let one start afresh")
    return 1 + _generation(section, parent["variant"], (*descendants, variant))
