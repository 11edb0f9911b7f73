"""Which runs the claims are about, and what was found of them."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, of
from trajlab.errors import MissingData

LEARNED = 0.2
"""Share of right answers above which a run has learned something; a guess has 0.1."""


def studies_of(results: Results, name: str, but: str = "none") -> list[str]:
    """Name the studies of a network that were computed."""
    found = dict.fromkeys(key.partition("/")[0] for key in results)
    return sorted(study for study in found if study.startswith(name) and but not in study)


def of_lenets(results: Results, stage: str) -> list[xr.Dataset]:
    """Give what a stage found of LeNet, on each data set."""
    return [results[f"{study}/{stage}"] for study in studies_of(results, "lenet")]


def restarted_studies(results: Results) -> list[str]:
    """Name the studies that have restarts."""
    return [key.partition("/")[0] for key in results if key.endswith("/drift_from_parent")]


def from_parent(results: Results, study: str, variant: str, optimizer: str) -> np.ndarray:
    """Give how far restarts are from where the runs ended that they restarted from, (run, step)."""
    far = results[f"{study}/drift_from_parent"]["total_relative"]
    return of(far, variant=variant, optimizer=optimizer).transpose("run", "step").values


def has_learned(results: Results, study: str, **facts: str | list[str]) -> np.ndarray:
    """Tell which runs learned anything."""
    return last(of(results[f"{study}/evaluation"]["accuracy"], **facts)).values > LEARNED


def within_layers(array: xr.DataArray) -> xr.DataArray:
    """Give the mean over all layers of what is between a layer and itself."""
    own = [array.sel(layer=layer, layer_other=layer, drop=True) for layer in array["layer"].values]
    return xr.concat(own, dim="layer").mean("layer")


def drift_of(results: Results, study: str) -> xr.Dataset:
    """Give what the stage `drift` found of a study."""
    return results[f"{study}/drift"]


def kept_share(results: Results, study: str) -> xr.DataArray:
    """Give the share of the entries of undisturbed runs whose bits are those of the start at the end."""
    return 1 - last(of(drift_of(results, study)["total_changed"], variant="plain"))


def structural_taps(results: Results, study: str) -> xr.DataArray:
    """Count the entries of undisturbed runs that are taps which never get a gradient."""
    return of(drift_of(results, study)["total_unchanged_cause"].sel(cause="structural"), variant="plain")


def in_dead_units(results: Results, study: str) -> xr.DataArray:
    """Give the share of the entries of undisturbed runs that never changed as their unit never did."""
    drift = drift_of(results, study)
    return of(drift["total_unchanged_cause"].sel(cause="dead_unit"), variant="plain") / drift["numel"].sum().item()


def two_seeds(alike: xr.DataArray, optimizer: str) -> list[float]:
    """Give what is between each two runs of an optimizer and an init that differ in their seed."""
    runs = of(alike, optimizer=optimizer)
    found = []
    for init in sorted(set(runs["init"].values.tolist())):
        own = of(runs, init=init)
        seeds = own["seed"].values
        found += [float(own[i].sel(other=own["run"][j])) for i, j in np.argwhere(seeds[:, None] < seeds)]
    if not found:
        raise MissingData(
            f"runs of two seeds of {optimizer} are needed to compare them; there is one of each. Train two."
        )
    return found
