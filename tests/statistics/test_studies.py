import numpy as np
import pytest
import xarray as xr

from trajlab.statistics.studies import (
    GROUP,
    LABEL,
    facts,
    group_names,
    groups,
    run_labels,
    run_names,
    set_of_studies,
    shared_facts,
    short_names,
    telling_facts,
)


def runs(*names, **facts):
    """Return a result of runs with facts."""
    coords = {name: ("run", np.array(values, dtype=object)) for name, values in facts.items()}
    count = len(next(iter(facts.values()))) if facts else len(names)
    return xr.Dataset(coords=coords | {"run": list(names) or [f"r{i}" for i in range(count)]})


@pytest.fixture
def restarts():
    """Eight runs: two plain ones, and six that went on from the start of a plain one and name it as their parent."""
    variants = ["control", "control", "flipped", "flipped", "moved", "moved", "plain", "plain"]
    parents = ["" if variant == "plain" else f"plain-{i % 2}" for i, variant in enumerate(variants)]
    steps = ["0" if parent else "" for parent in parents]
    return runs(variant=variants, seed=[0, 1] * 4, parent=parents, parent_step=steps)


def test_groups__take_no_parent_for_what_tells_runs_apart(restarts):
    assert telling_facts(restarts) == ["variant", "seed"]
    assert groups(restarts)["control"] == [0, 1] and len(groups(restarts)) == 4


def test_groups__are_told_apart_by_the_step_at_which_they_left_their_parents(restarts):
    restarts["parent_step"][:2] = "500"
    assert {"control · 500", "flipped · 0", "plain"} < set(groups(restarts))


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a-b-0", "a-c-0"], ["b-0", "c-0"]),
        (["a-b-c-0", "x-b-c-1"], ["a-0", "x-1"]),
        (["a-0"], ["a-0"]),
        (["0", "1"], ["0", "1"]),
        (["a-0", "a-b-0"], ["a-0", "a-b-0"]),
        ([], []),
    ],
)
def test_short_names__leave_out_what_all_names_share(names, short):
    assert short_names(names) == short


def test_telling_facts__rank_by_use_put_the_seed_last_and_leave_out_what_follows():
    optimizers = ["adam", "adam", "sgd", "sgd"]
    study = runs(seed=[0, 1] * 2, note=list("abcd"), lr=[1, 1, 2, 2], optimizer=optimizers, dataset=["mnist"] * 4)
    assert telling_facts(study) == ["optimizer", "note", "seed"]
    assert list(facts(study)) == ["seed", "note", "lr", "optimizer", "dataset"]
    assert shared_facts(study) == {"dataset": "mnist"}


def test_shared_facts__of_a_single_run_are_all_it_has():
    alone = runs("a", seed=[3], init=["he"]).isel(run=0)
    assert shared_facts(alone) == {"run": "a", "seed": 3, "init": "he"}
    assert run_names(alone) == run_labels(alone) == []


def test_groups__of_runs_that_differ_in_their_seed_only_are_one():
    assert groups(runs(seed=[0, 1], lr=[0.1, 0.1])) == {"all runs": [0, 1]}


def test_prepared_coords__hold_names_and_groups_of_a_part_of_the_runs():
    study = runs("he-adam-0", "he-sgd-0", optimizer=["adam", "sgd"])
    prepared = study.assign_coords({LABEL: ("run", ["adam-0", "sgd-0"]), GROUP: ("run", ["adam", "sgd"])})
    part = prepared.isel(run=[1])
    assert run_labels(part) == ["sgd-0"] and groups(part) == {"sgd": [0]}
    assert run_labels(study) == ["adam-0", "sgd-0"] and group_names(study) == ["adam", "sgd"]
    assert list(facts(prepared)) == ["optimizer"]


@pytest.mark.parametrize(
    ("names", "folder"),
    [(["a/b/c", "a/b/d"], "a/b"), (["a/b", "a/b"], "a"), (["a", "b"], ""), (["a/x/c", "a/y/c"], "a")],
)
def test_set_of_studies__is_the_folder_that_they_share(names, folder):
    assert set_of_studies(names) == folder
