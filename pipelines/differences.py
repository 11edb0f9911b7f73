"""What an experiment does otherwise than its publication: ``python -m pipelines.differences initialization``.

The section `published` of an experiment's params.yaml states what the publication does, with the names of the settings
beside it: ``settings`` by study, ``variants`` of a study in them, and ``claims``, which names the studies and variants
that each claim is about. A value of ``unknown`` is one that the source does not state. The table of differences comes
from the file alone, except for the number of training images, which the results know where the file asks for all.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
import yaml

from pipelines.settings import PRETRAINED, merged, pretrained, read_studies, training_of
from trajlab.errors import BadSetting, errors_in_one_line
from trajlab.reports.claims import ANOTHER, REPEATED, SMALLER, UNSTATED, Difference

UNKNOWN = "unknown"
"""Value of a setting that the source does not state."""

OURS = "ours"
"""What a claim that was not published is about."""

SIZES = ("seeds", "images", "epochs", "gradients", "probe")
"""Settings whose smaller values are a smaller size of the same experiment."""

LISTS = ("inits",)
"""Settings whose subsets are a smaller size of the same experiment."""

TRAINING_IMAGES = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000}
"""Training images of whole data sets, where a publication uses all."""

app = typer.Typer(pretty_exceptions_enable=False)


class Compared(NamedTuple):
    """A setting of the publication beside the one here.

    Attributes
    ----------
    difference
        The setting and both values.
    verdict
        The verdict that this setting alone would lead to; empty if the source does not state it.
    """

    difference: Difference
    verdict: str


class Publication:
    """What the section `published` of a params.yaml states, beside the studies of the file.

    Parameters
    ----------
    params
        The file.
    images
        Number of training images by study, for studies that train on all there are.

    Raises
    ------
    BadSetting
        There is no such file, or it has no such section.
    """

    def __init__(self, params: Path, images: Mapping[str, int] | None = None):
        if not params.is_file():
            raise BadSetting(f"cannot find the settings of an experiment in {params}: there is no such file; add it")
        settings = yaml.safe_load(params.read_text(encoding="utf-8"))
        if "published" not in settings:
            raise BadSetting(f"cannot compare {params} with a publication: it has no section `published`; add one")
        self.stated: dict[str, Any] = settings["published"]
        self.stages = settings
        self.studies = read_studies(params)
        self.images = images or {}

    def of_claim(self, name: str) -> tuple[str, list[Difference]]:
        """Return the verdict on a claim, and all settings that differ or that the source does not state.

        Raises
        ------
        BadSetting
            The file names no runs for the claim, or none of the studies that it names are in it.
        """
        about = self.stated["claims"].get(name)
        if about is None:
            raise BadSetting(f"cannot compare the claim {name} with its publication: add it to `published: claims`")
        if about == OURS:
            return ANOTHER, [Difference("claim", "none", "our question")]
        if not (runs := list(self._runs(about))):
            raise BadSetting(f"cannot compare the claim {name}: {', '.join(about)} match no study of this size")
        rows = [row for study, variant in runs for row in self.of_variant(study, variant)]
        return verdict_of(rows), list(dict.fromkeys(row.difference for row in rows if row.verdict != REPEATED))

    def of_variant(self, study: str, variant: str) -> list[Compared]:
        """Compare all settings that the publication states with those of a variant of a study."""
        here = self._here(study, variant)
        stated = next((stated for pattern, stated in self.stated["settings"].items() if fnmatch(study, pattern)), None)
        if stated is None:
            raise BadSetting(f"cannot compare {study}: `published: settings` has none of that name; add it")
        short = f"{study.rpartition('/')[2]}: " if len(self.studies) > 1 else ""
        stated = dict(stated)
        variants = stated.pop("variants", None)
        if variants is not None and variant not in variants:
            row = Difference(f"{short}variant", "none", variant)
            return [Compared(row, ANOTHER), *self._rows(short, stated, here)]
        return self._rows(short, merged(stated, (variants or {}).get(variant) or {}), here)

    def _rows(self, short: str, stated: Mapping[str, Any], here: Mapping[str, Any]) -> list[Compared]:
        whole = TRAINING_IMAGES.get(_at(here, "dataset.name"), UNKNOWN)
        resolved = {name: whole if (name, value) == ("images", "all") else value for name, value in stated.items()}
        return [_compared(short + name, name, value, _at(here, name)) for name, value in _flat(resolved)]

    def variants(self, study: str) -> list[str]:
        """Return the variants of a study; the empty name if it has none."""
        return list(self.studies[study].get("variants") or {"": None})

    def _runs(self, about: Mapping[str, str | list[str]]) -> Iterator[tuple[str, str]]:
        for pattern, variants in about.items():
            for study in self.studies:
                if fnmatch(study.rpartition("/")[2], pattern):
                    names = [variants] if isinstance(variants, str) else variants
                    yield from ((study, name) for name in names if name in self.variants(study))

    def _here(self, study: str, variant: str) -> dict[str, Any]:
        """Return the settings here under the names of a publication's."""
        section = self.studies[study]
        training = training_of(section, variant)
        settings = asdict(training)
        restricted = (section.get("variants") or {}).get(variant) or {}
        if isinstance(training.dataset, str):
            settings["dataset"] = {"name": training.dataset}
        recorded = self.images.get(study.rpartition("/")[2])
        images = training.images or recorded or settings["dataset"].get("most") or "all"
        settings["images"] = images
        settings["epochs"] = _epochs(settings)
        inits = restricted.get("inits", section["inits"])
        optimizers = restricted.get("optimizers", list(section["optimizers"]))
        return {
            **self.stages,
            "inits": [init for init in inits if init != PRETRAINED or pretrained(training).is_file()],
            "optimizers": {name: section["optimizers"][name] for name in optimizers},
            "seeds": len(section["seeds"]),
            **settings,
        }


def verdict_of(rows: list[Compared]) -> str:
    """Return the verdict on an experiment from its settings: the worst of any; another one if none is stated."""
    verdicts = {row.verdict for row in rows if row.verdict} or {ANOTHER}
    return next((verdict for verdict in (ANOTHER, SMALLER) if verdict in verdicts), REPEATED)


def _compared(label: str, name: str, stated: Any, here: Any) -> Compared:
    row = Difference(label, UNSTATED if stated == UNKNOWN else _text(stated), _text(here))
    if stated == UNKNOWN:
        return Compared(row, "")
    if name in SIZES:
        amounts = _amount(stated), _amount(here)
        if not all(isinstance(amount, int | float) for amount in amounts):
            return Compared(row, "")
        return Compared(row, REPEATED if amounts[1] >= amounts[0] else SMALLER)
    if name in LISTS and isinstance(here, list) and isinstance(stated, list):
        return Compared(row, ANOTHER if set(here) - set(stated) else REPEATED if len(here) == len(stated) else SMALLER)
    return Compared(row, REPEATED if here == stated else ANOTHER)


def _amount(value: Any) -> Any:
    """Return a number of images or entries; all of them are more than any number."""
    return math.inf if value is True else value


def _epochs(settings: Mapping[str, Any]) -> float | str:
    """Return the number of passes over the images, of a number of updates, too."""
    if settings["epochs"] is not None:
        return settings["epochs"]
    if not isinstance(settings["images"], int):
        return f"{settings['steps']} updates"
    return round(settings["steps"] * settings["batch_size"] / settings["images"], 2)


def _flat(stated: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Return the names of nested settings, with dots, and their values."""
    for name, value in stated.items():
        if isinstance(value, Mapping) and value and name != "arguments":
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _at(settings: Any, name: str) -> Any:
    """Return a nested setting; None if there is none of the name."""
    for part in name.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings


def _text(value: Any) -> str:
    """Write a value as a table shows it.

    >>> _text(None), _text([1, 2]), _text(0.0001), _text(True), _text(50000)
    ('default', '1, 2', '0.0001', 'yes', '50,000')
    """
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_text(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@app.command()
def main(
    experiment: Annotated[str, typer.Argument(help="Folder of the experiment in pipelines/.")],
) -> None:
    """Print what each variant of an experiment does otherwise than its publication."""
    publication = Publication(Path(__file__).parent / experiment / "params.yaml")
    print(f"Published: {publication.stated['source']}")
    for study in publication.studies:
        for variant in publication.variants(study):
            rows = publication.of_variant(study, variant)
            print(f"\n{' '.join(filter(None, (study, variant)))}: {verdict_of(rows)}")
            for row in rows:
                if row.verdict != REPEATED:
                    print(
                        f"  {row.difference.setting}: published {row.difference.published}, here {row.difference.here}"
                    )


if __name__ == "__main__":
    with errors_in_one_line("pipelines.differences"):
        app()
