"""A finding: a sentence of the report, and the one that every stage shares."""

from typing import NamedTuple

import xarray as xr

from trajlab.statistics.extremes import extreme, in_run


class Finding(NamedTuple):
    """A sentence about a result, in which names stand between backticks.

    Attributes
    ----------
    text
        The sentence.
    figure
        Key of the figure that shows it; empty for none.
    alarm
        Whether something is broken.
    """

    text: str
    figure: str = ""
    alarm: bool = False


def nonfinite(result: xr.Dataset, figure: str, thing: str = "weights") -> list[Finding]:
    """Say where NaN and Inf first appear."""
    if "nonfinite" not in result or "step" not in result["nonfinite"].dims:
        return []
    bad = result["nonfinite"] > 0
    if not bool(bad.any()):
        return []
    on_step = bad.any([dim for dim in bad.dims if dim != "step"])
    step = on_step["step"].values[int(on_step.argmax("step"))]
    place = extreme(result["nonfinite"].sel(step=step))
    row = (
        next((f" in `{label}`" for dim, label in place.at.items() if dim in ("parameter", "layer")), "")
        if place
        else ""
    )
    runs = int(bad.any([d for d in bad.dims if d != "run"]).sum()) if "run" in bad.dims else 0
    more = f"; {runs} runs are affected" if runs > 1 else ""
    where = f"{row}{in_run(place) if place else ''}"
    text = f"NaN or Inf among the {thing} from step {step:,} on{f', first{where}' if where else ''}{more}."
    return [Finding(text, figure, alarm=True)]
