import numpy as np

import trajlab
from trajlab.runs.inventory import inventory


def facts(run):
    return dict(inventory(run).facts)


def test_inventory__names_gaps():
    steps = [0, 10, 20, 50, 60, 70, 73]
    run = trajlab.from_arrays({"w": np.zeros((7, 2))}, steps=steps)
    assert facts(run)["gaps"] == "20–50"
    assert facts(run)["snapshots"] == "7, steps 0 to 73, 3 to 30 apart"


def test_inventory__a_doubling_schedule_has_no_gaps():
    run = trajlab.from_arrays({"w": np.zeros((6, 2))}, steps=[0, 1, 2, 4, 8, 16])
    assert facts(run)["gaps"] == "none"


def test_inventory__of_one_snapshot_and_of_nothing():
    assert facts(trajlab.from_arrays({"w": np.zeros((1, 2))}, steps=[7]))["snapshots"] == "1, at step 7"
    assert facts(trajlab.from_arrays({}))["snapshots"] == "none"


def test_inventory__counts_bytes():
    assert facts(trajlab.from_arrays({"w": np.zeros((10, 1000), np.float32)}))["size"] == "40 kB"


def test_inventory__says_that_a_run_is_not_finished(checkpoints):
    folder = checkpoints({"w": np.zeros((1, 2), np.float32)})
    facts = '{"format": "trajlab-snapshots-1", "parameters": ["w"], "closed": %s}'
    (folder / "run.json").write_text(facts % "null")
    assert any("not finished" in note for note in inventory(trajlab.open(folder)).missing)
    (folder / "run.json").write_text(facts % "1")
    assert not any("not finished" in note for note in inventory(trajlab.open(folder)).missing)


def test_inventory__misses_no_network_where_config_json_names_one(example):
    def notes():
        return [note for note in inventory(example).missing if "model factory" in note]

    assert len(notes()) == 1
    example.facts["config"] = {"architectures": ["LlamaForCausalLM"]}
    assert notes() == []
