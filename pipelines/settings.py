"""What a study trains: its section of a params.yaml, at the size that the file asks for, and the runs that it names.

A study is one network on one data set. Its runs are every init with every optimizer, every variant and every seed.
A variant is a name for changes of the section `training`: another normalization, a restart that is perturbed, another
kind of gradient. A file may hold several sizes; ``size: small`` puts all that ``sizes: {small: …}`` says over the rest
of the file, where null takes away.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from trajlab.errors import BadSetting

PRETRAINED = "pretrained"
"""The init that takes weights from a file."""


@dataclass(frozen=True)
class Training:
    """The section `training` of a study.

    Attributes
    ----------
    model
        ``factory``, as in ``pipelines.zoo:lenet5``, and its ``arguments``.
    dataset
        Name that `pipelines.datasets.load` knows; or a mapping of the ``name`` and arguments that it takes.
    batch_size
        Images of an update; those left over at the end of an epoch are dropped.
    gradients
        Recorded at every step: all entries (true), none (false), or at most so many of each tensor.
    probe
        The first so many test images are stored with the run, for activations later, and as many training images.
    weights_every, weights_at
        The weights are recorded every so many steps, or at these; and after the last one. One of the two.
    steps, epochs
        How long to train: the number of updates, or of passes over the images. One of the two. A network that is only
        looked at takes no step.
    images, test_images
        So many images of the data set are trained and tested on; by default all.
    weights_in_a_row
        The weights are recorded at so many steps in a row each time; two show what a single update does.
    image_shape
        Channels, height and width that `pipelines.datasets.fit` brings the images to, those of a folder of files too;
        by default they stay as they are.
    weights
        File with the weights to start from, a state dict that torch or safetensors wrote.
    pretrained
        File with the weights that the init `pretrained` starts from; where there is none, its runs are left out. The
        first and the last layer start as `kaiming_normal` if the file has none of their shape.
    gradient
        Which gradients are recorded, one of `pipelines.gradients.KINDS`; the training is the same.
    parent
        ``variant`` and ``step``: start from that snapshot of the run that differs in the variant only.
    perturb
        Functions of `pipelines.perturb` by name, with their arguments; the start is disturbed by each.
    reorder
        Added to the seed of the batches, so that a restart sees them in another order.
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
    weights: str | None = None
    pretrained: str | None = None
    gradient: str = "batch"
    parent: dict[str, Any] | None = None
    perturb: dict[str, dict[str, Any]] | None = None
    reorder: int = 0


class Run(NamedTuple):
    """What tells a run of a study from the others; a study without variants has one that has no name."""

    init: str
    optimizer: str
    seed: int
    variant: str = ""

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return "-".join([self.init, self.optimizer, *([self.variant] if self.variant else []), str(self.seed)])


def read_studies(file: Path) -> dict[str, dict[str, Any]]:
    """Read the sections of all studies in a file with settings, at the size that it asks for.

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
    """Name the runs of a study, each after the one that it starts from."""
    variants = sorted(section.get("variants") or [""], key=lambda variant: _generation(section, variant))
    return [
        Run(init, optimizer, seed, variant)
        for variant, init, optimizer, seed in product(
            variants, section["inits"], section["optimizers"], section["seeds"]
        )
        if init != PRETRAINED or pretrained(training_of(section, variant)).is_file()
    ]


def pretrained(training: Training) -> Path:
    """Name the file that the init `pretrained` starts from."""
    if training.pretrained is None:
        raise BadSetting("a study has the init `pretrained`; its training names no file in the setting `pretrained`")
    return Path(training.pretrained)


def generations(section: Mapping[str, Any]) -> list[list[Run]]:
    """Part the runs of a study into those that start afresh, those that start from these, and so on."""
    parts: dict[int, list[Run]] = {}
    for run in runs_of(section):
        parts.setdefault(_generation(section, run.variant), []).append(run)
    return [parts[generation] for generation in sorted(parts)]


def training_of(section: Mapping[str, Any], variant: str) -> Training:
    """Give the settings of the training of a variant of a study; they are checked."""
    changes = _variant(section, variant)
    settings = merged(section["training"], changes)
    known = {field.name: field.default is MISSING for field in fields(Training)}
    wrong = [name for name in settings if name not in known]
    wrong += [name for name, needed in known.items() if needed and name not in settings]
    if wrong:
        raise BadSetting(
            f"unknown or missing in a study's training: {', '.join(sorted(wrong))}; it takes {', '.join(known)}"
        )
    for one, other in (("steps", "epochs"), ("weights_every", "weights_at")):
        if (settings.get(one) is None) == (settings.get(other) is None):
            raise BadSetting(f"a study's training takes {one} or {other}, one of the two")
    return Training(**settings)


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Put changes over nested settings; null takes a setting away.

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


def choose(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """Give what has a name, or say what names there are."""
    if name not in known:
        raise BadSetting(f"no {kind} is called {name!r}; there are {', '.join(map(str, known))}")
    return known[name]


def _variant(section: Mapping[str, Any], variant: str) -> dict[str, Any]:
    return choose("variant", variant, section.get("variants") or {"": {}}) or {}


def _generation(section: Mapping[str, Any], variant: str, below: tuple[str, ...] = ()) -> int:
    """Count the runs that have to be trained before those of a variant."""
    parent = _variant(section, variant).get("parent")
    if parent is None:
        return 0
    if variant in below:
        raise BadSetting(f"the variants {', '.join(below)} start from each other; let one start afresh")
    return 1 + _generation(section, parent["variant"], (*below, variant))
