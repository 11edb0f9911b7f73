"""What stands out in the filters of a layer."""

import xarray as xr

from trajlab.findings.looking import Finding, extreme, last, nonfinite, typical
from trajlab.findings.wording import share

HEADLINES = ("limit",)


def filters(result: xr.Dataset) -> list[Finding]:
    """Say which filter changed most, and which least."""
    found = nonfinite(result, "kernel")
    if result.sizes["step"] < 2:
        return found
    end = typical(last(result["relative"]))
    most, least = extreme(end), extreme(end, least=True)
    if most is None or least is None:
        return found
    runs = f" (median of {result.sizes['run']} runs)" if result.sizes.get("run", 1) > 1 else ""
    text = (
        f"Filter {most.at['filter']} of `{result.attrs.get('parameter', '')}` changed most: by {share(most.value)} of "
        f"its norm at step {int(result['step'][0]):,}{runs}"
    )
    if least.at != most.at:
        text += f"; filter {least.at['filter']} least, by {share(least.value)}"
    return [*found, Finding(f"{text}.", "relative")]
