"""Published claims, what was measured here, and whether they hold: their file, and how the report shows them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trajlab.errors import MissingData
from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.paths import as_path
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import read_bytes
from trajlab.statistics.wording import count, number, share

VERDICTS = {"yes": "✓ holds", "partly": "◐ in part", "no": "✗ does not hold"}
"""Verdicts as the report shows them, by sign and word, not by color alone."""


class Measured(NamedTuple):
    """Numbers that speak for or against a claim.

    Attributes
    ----------
    what
        What was measured, and in which runs.
    values
        One number for each run; NaN where it is unknown.
    unit
        Its unit; ``share`` is written in per cent.
    """

    what: str
    values: Sequence[float] | np.ndarray
    unit: str = ""


REPEATED, SMALLER, ANOTHER = "repeated", "repeated in a smaller size", "another experiment"
"""Verdicts on an experiment beside the published one: the same settings, fewer data or updates, or other settings."""


UNSTATED = "unknown in the source"
"""What a difference shows in place of a setting that the publication does not state."""


class Difference(NamedTuple):
    """A setting in which an experiment differs from the publication, or that the source does not state."""

    setting: str
    published: str
    here: str


class Claim(NamedTuple):
    """A claim that was published, and what became of it here.

    Attributes
    ----------
    claim
        The claim, as a sentence.
    published
        What was published: numbers where there are some, in words.
    measured
        What was measured here.
    holds
        ``yes``, ``partly`` or ``no``.
    reason
        The likely reason where it does not hold, and what limits the measurement.
    figure
        Part of the report that shows it: a result, or a result and the key of a figure.
    revised
        How the criterion was changed after results had been seen; empty if it was not.
    verdict
        `REPEATED`, `SMALLER` or `ANOTHER`; empty if the experiment was not compared with a publication.
    differences
        The settings that differ from the publication, or that it does not state.
    """

    claim: str
    published: str
    measured: Sequence[Measured]
    holds: str
    reason: str = ""
    figure: str = ""
    revised: str = ""
    verdict: str = ""
    differences: Sequence[Difference] = ()


def write_claims(claims: Sequence[Claim], file: str | Path) -> None:
    """Write claims as JSON; what is not finite is null."""
    rows = [
        claim._asdict()
        | {"measured": [_as_json(measured) for measured in claim.measured]}
        | {"differences": [difference._asdict() for difference in claim.differences]}
        for claim in claims
    ]
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_claims(file: str | Path) -> list[Claim]:
    """Read claims that `write_claims` wrote.

    Raises
    ------
    MissingData
        There is no such file.
    DamagedData
        It holds no claims.
    """
    source = as_path(file)
    with reading(source, "write the file again", form="claims"):
        if not source.is_file():
            raise MissingData(f"cannot read claims from {source}: there is no such file; write it first.")
        rows = parse_json(read_bytes(source))
        if not isinstance(rows, list):
            raise ValueError("it is not a list of claims")
        return [_claim(row) for row in rows]


def measured_text(measured: Measured) -> str:
    """Write the median of what was measured, and its spread over the runs.

    >>> measured_text(Measured("changed", [0.91, 0.93, 0.95], "share")), measured_text(Measured("loss", [2.302585]))
    ('93 % (91 % to 95 %, 3 runs)', '2.3')
    """
    values = np.asarray(measured.values, np.float64)
    finite = values[~np.isnan(values)]
    if not len(finite):
        return "unknown"
    least, middle, most = (share(value) if measured.unit == "share" else number(value) for value in _three(finite))
    middle += f" {measured.unit}" if measured.unit not in ("", "share") else ""
    if len(values) == 1:
        return middle
    runs = count(len(finite), "run") + (
        f", unknown in {len(values) - len(finite)}" if len(finite) < len(values) else ""
    )
    same = "the same in " if len(finite) > 1 else ""
    return f"{middle} ({same if least == most else f'{least} to {most}, '}{runs})"


def _three(values: np.ndarray) -> list[float]:
    """Return the least, the median and the largest."""
    return np.quantile(values, [0.0, 0.5, 1.0]).tolist()


def _claim(row: dict[str, Any]) -> Claim:
    """Return a claim of JSON; raise ValueError or TypeError if it is none."""
    measured = [_measured(**line) for line in row["measured"]]
    differences = [Difference(**difference) for difference in row.get("differences", [])]
    claim = Claim(**row | {"measured": measured, "differences": differences})
    texts = [value for value in claim if value is not measured and value is not differences]
    texts += [text for difference in differences for text in difference]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"an entry of the claim {claim.claim!r:.100} is no text")
    if claim.holds not in VERDICTS:
        raise ValueError(f"its verdict is {claim.holds!r:.100}, not one of {', '.join(VERDICTS)}")
    return claim


def _as_json(measured: Measured) -> dict[str, Any]:
    values = np.asarray(measured.values, np.float64).ravel()
    return measured._asdict() | {"values": [float(value) if np.isfinite(value) else None for value in values]}


def _measured(what: str, values: list[float | None], unit: str) -> Measured:
    numbers = [np.nan if value is None else float(value) for value in values]
    if not isinstance(what, str) or not isinstance(unit, str):
        raise ValueError(f"what was measured, {what!r:.100}, or its unit, {unit!r:.100}, is no text")
    return Measured(what, numbers, unit)
