"""The runs that the claims are about, and results of them."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, by_network, last, of
from trajlab.errors import MissingData

LEARNED = 0.2
"""Accuracy above which a run has learned; a guess has 0.1."""

SEEDS = 3
"""Seeds from which on a verdict counts a network."""


def studies_of(results: Results, network: str, but: str = "none") -> list[str]:
    """Return the computed studies of a network."""
    studies = {key.partition("/")[0] for key in results}
    return sorted(study for study in studies if study.startswith(network) and but not in study)


def of_network(results: Results, network: str, stage: str) -> list[xr.Dataset]:
    """Return the results of a stage for a network on each data set."""
    return [results[f"{study}/{stage}"] for study in studies_of(results, network, but="stem3")]


def has_variant(results: Results, study: str, variant: str) -> bool:
    """Return whether a study has restarts of a variant."""
    return bool((results[f"{study}/drift_from_parent"]["variant"] == variant).any())


def restarted_studies(results: Results) -> list[str]:
    """Return the studies that have restarts."""
    return list(by_network(results, "drift_from_parent"))


def distance_from_parent(results: Results, study: str, variant: str, optimizer: str) -> np.ndarray:
    """Return the distance of restarts from the end of the runs that they restarted from, (run, step)."""
    distance = results[f"{study}/drift_from_parent"]["total_relative"]
    return of(distance, variant=variant, optimizer=optimizer).transpose("run", "step").values


def has_enough_seeds(result: xr.Dataset) -> bool:
    """Return whether a verdict counts a network: whether its runs have `SEEDS` seeds or more."""
    return len(np.unique(result["seed"].values)) >= SEEDS


def has_learned(results: Results, study: str, **facts: str | list[str]) -> np.ndarray:
    """Return which runs learned."""
    return last(of(results[f"{study}/evaluation"]["accuracy"], **facts)).values > LEARNED


def within_layers(array: xr.DataArray) -> xr.DataArray:
    """Return the mean over all layers of the values between a layer and itself."""
    diagonal = [array.sel(layer=layer, layer_other=layer, drop=True) for layer in array["layer"].values]
    return xr.concat(diagonal, dim="layer").mean("layer")


def drift_of(results: Results, study: str) -> xr.Dataset:
    """Return the result of `drift` for a study."""
    return results[f"{study}/drift"]


def unchanged_share(results: Results, study: str) -> xr.DataArray:
    """Return the share of entries of unperturbed runs that end with the bits of the start."""
    return 1 - last(of(drift_of(results, study)["total_changed"], variant="plain"))


def changed_norm_ratio(results: Results, study: str) -> xr.DataArray:
    """Return the norm of the entries of unperturbed runs that changed, relative to the norm of all, at the end."""
    return last(of(drift_of(results, study)["total_changed_norm_ratio"], variant="plain"))


def structural_taps(results: Results, study: str) -> xr.DataArray:
    """Return the number of entries of unperturbed runs in kernel taps that never get a gradient."""
    return of(drift_of(results, study)["total_unchanged_cause"].sel(cause="structural"), variant="plain")


def share_in_dead_units(results: Results, study: str) -> xr.DataArray:
    """Return the share of entries of unperturbed runs in units that never changed."""
    drift = drift_of(results, study)
    return of(drift["total_unchanged_cause"].sel(cause="dead_unit"), variant="plain") / drift["numel"].sum().item()


def between_seeds(comparison: xr.DataArray, optimizer: str) -> list[float]:
    """Return the values between each two runs of an optimizer and an init that differ in their seed."""
    runs = of(comparison, optimizer=optimizer)
    values = []
    for init in sorted(set(runs["init"].values.tolist())):
        of_init = of(runs, init=init)
        seeds = of_init["seed"].values
        values += [float(of_init[i].sel(other=of_init["run"][j])) for i, j in np.argwhere(seeds[:, None] < seeds)]
    if not values:
        raise MissingData(f"cannot compare seeds of {optimizer}: found one seed of each init; train two")
    return values
