import numpy as np
import xarray as xr

import trajlab
from trajlab.figures import figure, panels
from trajlab.reports.findings import findings, headlines
from trajlab.statistics.prepare import prepare
from trajlab.statistics.studies import facts, groups, run_labels


def study():
    names = [f"he-{kind}-{seed}" for kind in ("plain", "moved") for seed in (0, 1)]
    runs = {name: trajlab.example(seed=i) for i, name in enumerate(names)}
    for name, run in runs.items():
        _, kind, seed = name.split("-")
        run.facts["describe"] = {"variant": kind, "seed": int(seed)}
    return trajlab.run("drift", runs).compute()


def test_prepare__names_the_stage_shortens_labels_and_groups_runs_once():
    result = study()

    prepared = prepare(result)

    assert prepared.stage == "drift"
    assert run_labels(prepared.data) == ["plain-0", "plain-1", "moved-0", "moved-1"]
    assert groups(prepared.data) == groups(result) == {"plain": [0, 1], "moved": [2, 3]}
    assert prepare(prepared) is prepared
    assert list(facts(prepared.data)) == list(facts(result))


def test_prepare__keeps_labels_and_groups_of_a_part_of_the_runs():
    part = prepare(study()).data["relative"].isel(run=[0, 2])

    assert run_labels(part) == ["plain-0", "moved-0"]
    assert groups(part) == {"plain": [0], "moved": [1]}


def test_prepared_results__are_drawn_and_described_as_the_datasets_they_come_from():
    result = study()
    prepared = prepare(result)

    assert findings(prepared) == findings(result)
    assert [panel.key for panel in panels(prepared)] == [panel.key for panel in panels(result)]
    assert figure(prepared).get_title() == figure(result).get_title()
    for name, array in headlines(result).items():
        xr.testing.assert_equal(headlines(prepared)[name], array)


def test_prepare__takes_any_dataset():
    data = xr.Dataset({"x": ("step", np.arange(3.0))})

    assert prepare(data).stage == ""
    assert figure(data).has_data()
