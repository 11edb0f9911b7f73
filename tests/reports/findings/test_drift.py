import numpy as np

import trajlab
from tests.reports.runs import moving, said
from trajlab.reports.findings import findings, headlines
from trajlab.reports.page import report


def test_report__names_the_layer_that_moved_most(tmp_path):
    result = trajlab.run("drift", moving(5, slow=0.1, fast=2.0, middling=0.5)).compute()

    page = report({"drift": result}, tmp_path / "r.html").read_text()

    assert "<code>fast</code> moved most: 200\xa0% of its initial norm" in page
    assert "<code>slow</code> moved least: 10\xa0%." in page


def test_findings__layers_of_a_sequence_are_no_blocks():
    """The layers of torchvision's VGG are numbered; a sentence over blocks would name none."""
    speeds = {f"features.{i}.weight": 0.1 * (i + 1) for i in range(0, 12, 2)}
    texts = said(trajlab.run("drift", moving(3, **speeds)).compute())
    assert any("`features.10.weight` moved most" in text for text in texts)
    assert not any("Over the blocks" in text for text in texts)
    blocks = {f"layers.{i}.fc.weight": 0.1 * (i + 1) for i in range(6)}
    assert any("most in block 5" in text for text in said(trajlab.run("drift", moving(3, **blocks)).compute()))


def test_findings__say_which_runs_went_farther():
    runs = {}
    for i, (optimizer, speed) in enumerate([("sgd", 0.9), ("sgd", 0.9), ("adam", 0.3), ("adam", 0.3)]):
        runs[f"{optimizer}-{i}"] = moving(3, w=speed)
        runs[f"{optimizer}-{i}"].facts["describe"] = {"optimizer": optimizer, "seed": i}

    texts = [finding.text for finding in findings(trajlab.run("drift", runs).compute())]

    assert any("optimizer `sgd` moved 3 times as far as those with `adam`: 90 % and 30 %" in text for text in texts)


def test_findings__say_whose_path_is_most_winding():
    back = np.array([0.0, 3.0, 1.0])[:, None, None] * np.ones((1, 4, 4))
    runs = {"straight": moving(3, w=1.0), "winding": trajlab.from_arrays({"w": 1.0 + back})}

    texts = [finding.text for finding in findings(trajlab.run("drift", runs).compute())]

    assert (
        "The path of the whole network is least straight in run `winding`: 5 times as long as the distance from start "
        "to end."
    ) in texts


def test_report__sums_up_runs_by_their_distance_from_a_parent_without_the_path(tmp_path):
    own = trajlab.run("drift", moving(3, w=1.0)).compute()
    parent = trajlab.run("drift", moving(3, w=1.0), parent=moving(3, w=2.0)).compute()
    later = trajlab.run("drift", moving(3, w=1.0), reference=1).compute()

    assert {"straightness", "path_length"} <= set(headlines(own))
    for result in (parent, later):
        assert not {"straightness", "path_length"} & set(headlines(result))
        assert "relative" in headlines(result)


def test_medians__are_of_the_runs_that_have_a_value():
    line = np.linspace(0, 1, 3)[:, None, None] * np.ones((1, 3, 3))
    runs = {"a": 1 + line, "b": 1 + 2 * line, "zero": line}
    result = trajlab.run("drift", {name: trajlab.from_arrays({"w": own}) for name, own in runs.items()}).compute()

    assert "(median of 2 runs)" in said(result)[0]


def test_distances__are_named_after_what_they_are_taken_from():
    line = np.linspace(1, 2, 3)[:, None, None] * np.ones((1, 3, 3))
    run = trajlab.from_arrays({"w": line})
    named = {
        reference: headlines(trajlab.run("drift", run, reference=reference).compute())["relative"].attrs["long_name"]
        for reference in (0, 1)
    }

    assert list(named.values()) == [
        "relative distance from the start",
        "relative distance from step 1",
    ]


def test_findings__of_one_snapshot_say_that_nothing_is_known_about_change(tmp_path):
    run = trajlab.from_arrays({"w": np.ones((1, 4, 4)), "b": np.zeros((1, 4))}, steps=[700])
    results = {name: trajlab.run(name, run).compute() for name in ("drift", "alerts", "distribution", "projection")}
    texts = [finding.text for finding in findings(results["drift"])]
    assert len(texts) == 1 and "one snapshot" in texts[0] and "%" not in texts[0]
    page = report(results, tmp_path / "r.html").read_text()
    assert "never changed (" not in page and "100\xa0%" not in page and "step 700" in page
    two = trajlab.run("drift", {"one": run, "many": moving(3, w=1.0)}).compute()
    assert not any("never changed" in sentence.text for sentence in findings(two))


def test_findings__say_in_plain_words_that_all_snapshots_are_the_same():
    still = trajlab.from_arrays({"w": np.ones((5, 4, 4)), "b": np.zeros((5, 4))})
    assert "All 5 snapshots hold the same weights" in " ".join(said(trajlab.run("drift", still).compute()))
    both = {"still": still, "moving": moving(5, w=1.0)}
    texts = said(trajlab.run("drift", both).compute())
    assert any("1 run (`still`)" in text and "same weights" in text for text in texts)
    assert not any("same weights" in text for text in said(trajlab.run("drift", moving(5, w=1.0)).compute()))


def test_findings__of_sampled_entries_are_shares_of_the_sample():
    weights = np.ones((3, 8))
    weights[1:, :6] = 2
    run = trajlab.from_arrays({"w": weights})
    sampled = run.weights["w"].rename(out="sample").assign_coords(index=("sample", np.arange(8)))
    result = trajlab.stages.drift.drift({"w": sampled.assign_attrs(shape=[800])}).compute()
    result = result.assign_attrs(stage="drift", Conventions=trajlab.run("drift", run).attrs["Conventions"])
    (text,) = [text for text in said(result) if "2 entries (25 %) never changed" in text]
    assert text.endswith("The entries that changed have 96 % of the norm of all.")  # sqrt(24 / 26)


def test_findings__do_not_call_a_frozen_layer_the_one_that_moved_least():
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(1, 4, 4)) * [[[1]], [[2]]] for name in ("base.weight", "a.weight", "b.weight")}
    weights["base.weight"][1] = weights["base.weight"][0]
    weights["b.weight"][1] *= 2
    texts = [finding.text for finding in findings(trajlab.run("drift", trajlab.from_arrays(weights)).compute())]
    assert any("`a.weight` moved least: 100 %" in text for text in texts), texts
