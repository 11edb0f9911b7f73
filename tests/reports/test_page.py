import json
import re
import warnings
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import BadSetting, DamagedData, MissingData, OutputExists
from trajlab.figures import save
from trajlab.reports.findings import findings, headlines
from trajlab.reports.outline import LINES, OTHERS, QUESTIONS, question
from trajlab.reports.page import report, summary
from trajlab.running.compute import write
from trajlab.stages import stage, stage_names

STAGES = ("drift", "distribution", "spectrum", "projection", "zero_gradients", "sign_flips", "dead_neurons")


def moving(steps, **speeds):
    """Layers of ones that move along a line by so much in all."""
    line = np.linspace(0, 1, steps)[:, None, None]
    return trajlab.from_arrays({name: 1.0 + line * speed * np.ones((1, 4, 4)) for name, speed in speeds.items()})


@pytest.fixture
def results(example):
    return {name: trajlab.run(name, example).compute() for name in STAGES}


@pytest.fixture
def page(results, tmp_path):
    return report(results, tmp_path / "r.html").read_text()


def _plain(page):
    return unescape(re.sub(r"<[^>]+>", "", page)).replace("\xa0", " ")


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report__names_the_layer_that_moved_most(tmp_path):
    result = trajlab.run("drift", moving(5, slow=0.1, fast=2.0, middling=0.5)).compute()

    page = report({"drift": result}, tmp_path / "r.html").read_text()

    assert "<code>fast</code> moved most: by 200\xa0% of its starting norm" in page
    assert "<code>slow</code> moved least, by 10\xa0%." in page


def test_findings__say_which_runs_went_farther():
    runs = {}
    for i, (optimizer, speed) in enumerate([("sgd", 0.9), ("sgd", 0.9), ("adam", 0.3), ("adam", 0.3)]):
        runs[f"{optimizer}-{i}"] = moving(3, w=speed)
        runs[f"{optimizer}-{i}"].facts["describe"] = {"optimizer": optimizer, "seed": i}

    texts = [one.text for one in findings(trajlab.run("drift", runs).compute())]

    assert any(
        "optimizer `sgd` ended 3 times as far from their start as those with `adam`: 90 % against 30 %" in text
        for text in texts
    )


def test_findings__say_whose_path_is_most_winding():
    back = np.array([0.0, 3.0, 1.0])[:, None, None] * np.ones((1, 4, 4))
    runs = {"straight": moving(3, w=1.0), "winding": trajlab.from_arrays({"w": 1.0 + back})}

    texts = [one.text for one in findings(trajlab.run("drift", runs).compute())]

    assert (
        "The whole network's path is most winding in run `winding`: 5 times as long as the distance it covered."
    ) in texts


def test_findings__compare_the_distributions_of_large_tensors_only():
    rng = np.random.default_rng(0)
    large, tiny = rng.normal(size=(12, 12)), rng.normal(size=(2, 1))
    run = trajlab.from_arrays({"large": np.stack([large, large**3]), "tiny": np.stack([tiny, tiny + 100])})

    texts = " ".join(one.text for one in findings(trajlab.run("distribution", run).compute()))

    assert "`large` shifted most of all tensors of at least 100 entries: " in texts
    assert "`large` grew the heaviest tails: excess kurtosis from " in texts


def test_findings__do_not_call_it_tails_where_there_are_none():
    signs = np.resize([1.0, -1.0], (12, 12))
    run = trajlab.from_arrays({"w": np.stack([signs, np.random.default_rng(0).normal(size=(12, 12))])})

    texts = " ".join(one.text for one in findings(trajlab.run("distribution", run).compute()))

    assert "shifted most" in texts
    assert "tails" not in texts


def test_findings__say_what_feeds_a_layer_without_a_name_of_its_own():
    dead = xr.DataArray([[0.0, 0.0], [0.5, 0.0]], dims=("step", "layer"), coords={"step": [0, 1]})
    result = xr.Dataset({"fraction_dead": dead}, {"layer": ["11", "relu"], "source": ("layer", ["10", "fc"])})

    texts = [one.text for one in findings(result.assign_attrs(stage="dead_neurons"))]

    assert texts == ["`11` (fed by `10`) has the largest share of units dead at the end: 50 %."]


def test_findings__of_lives_add_up():
    codes = {"always": [1, 1, 1, 1], "born": [1, 0, 0, 0], "died": [0, 1, 1, 1], "back": [0, 1, 0, 0],
             "again": [0, 1, 0, 1], "never": [0, 0, 0, 0]}  # fmt: skip
    alive = 1.0 - np.array([codes[name] for name in codes], float).T[:, None]
    run = xr.DataArray(alive, {"step": [0, 5, 10, 15]}, ("step", "sample", "unit"))

    result = stage("dead_neurons")({"relu": run}).compute().assign_attrs(stage="dead_neurons")
    texts = [one.text for one in findings(result)]

    assert texts[0] == "At the end 50 % of the units are dead."
    assert texts[3:5] == [
        "5 of the 6 units were dead at some snapshot: 1 at every one, 1 only until they first became active and 3 "
        "after they had been active.",
        "Of the 3 units that died after having been active, 2 came back to life, and 2 were dead at the end, 1 of them "
        "after coming back.",
    ]
    assert texts[-1] == "In `relu` the largest share of units ever died after having been active: 50 %."


def test_findings__say_which_layers_starve_and_how_the_gradient_shrank(rng):
    shapes = {"first.weight": 1e-5, "last.weight": 1.0, "last.bias": 1e-9}
    fade = np.geomspace(1, 0.01, 50)[:, None, None]
    gradients = {name: size * fade * rng.choice([-1, 1], (50, 4, 4)) for name, size in shapes.items()}

    texts = [
        one.text for one in findings(trajlab.run("gradient_statistics", trajlab.from_arrays({}, gradients)).compute())
    ]

    assert "one of `first.weight` the smallest" in texts[0]
    assert "1 weight of 2 get less than a thousandth of the largest" in texts[0]
    assert texts[1].startswith("The norm of the gradient fell: ")
    assert "have little in common: the median angle between them is 9" in texts[2]


def test_findings__do_not_average_runs_whose_gradients_turn_otherwise():
    swing = np.where(np.arange(20) % 2, 1.0, -1.0)[:, None, None]
    rows = {"along": np.ones((20, 1, 1)), "back": swing}
    runs = {name: trajlab.from_arrays({}, {"w": row * np.ones((20, 3, 3))}) for name, row in rows.items()}

    texts = [one.text for one in findings(trajlab.run("gradient_statistics", runs).compute())]

    assert (
        "Successive gradients agree in run `along`, with a median angle of 0°, and swing back in run `back`, with 180°."
    ) in texts


def test_findings__say_that_no_gradient_arrives_and_where_it_spikes():
    gradients = {"a.weight": np.zeros((30, 2, 2)), "b.weight": np.ones((30, 2, 2))}
    gradients["b.weight"][20] = 50

    found = findings(trajlab.run("gradient_statistics", trajlab.from_arrays({}, gradients)).compute())

    texts = [one.text for one in found]
    assert texts[0] == "No gradient reaches 1 weight at the end, the first being `a.weight`."
    assert "At step 20 the norm of the gradient is 50 times its median." in texts
    assert any("Successive gradients agree: the median angle between them is 0°" in text for text in texts)


def test_findings__put_the_first_nonfinite_step_first():
    values = np.ones((6, 3, 3))
    values[4:, 0, 0] = np.nan
    runs = {"good": moving(6, w=1.0), "bad": trajlab.from_arrays({"w": values})}

    first = findings(trajlab.run("drift", runs).compute())[0]

    assert first.alarm
    assert first.text == "NaN or Inf among the weights from step 4 on, first in `w` in run `bad`."


def test_findings__tell_alternating_signs_from_a_coin():
    signs = np.where(np.arange(40) % 2, 1.0, -1.0)[:, None, None] * np.ones((1, 5, 5))
    steady = np.ones((40, 5, 5))
    steady[20, 0] = -1.0
    run = trajlab.from_arrays({}, {"swing": signs + 1e-3, "steady": steady})

    texts = " ".join(one.text for one in findings(trajlab.run("sign_flips", run).compute()))

    assert "`steady` keep their sign more than a coin would" in texts
    assert "`swing` alternate more than a coin would: 100 %" in texts


def test_findings__tell_learned_directions_from_noise(rng):
    noise, direction = rng.standard_normal((60, 90)), np.outer(rng.standard_normal(60), rng.standard_normal(90))
    learned = noise + np.linspace(0, 1, 4)[:, None, None] * direction
    still = np.broadcast_to(rng.standard_normal((60, 90)), (4, 60, 90))
    result = trajlab.run("spectrum", trajlab.from_arrays({"learned": learned, "still": still})).compute()

    texts = [one.text for one in findings(result)]

    assert "`learned` ends with 1 singular value beyond noise, the most of all; 0 at the start, 0 once its" in texts[0]
    assert texts[1] == "1 of 2 matrices show nothing beyond noise at the end: `still`."
    only_noise = [one.text for one in findings(result.sel(parameter=["still"]))]
    assert only_noise[0] == "No matrix ends with a singular value beyond noise: by their spectra they could be random."


def test_findings__tell_a_path_from_a_random_walk(rng):
    moves = rng.standard_normal((50, 40, 60))
    line = moves + np.outer(np.cos(np.arange(50) / 16), rng.standard_normal(2400)).reshape(moves.shape)
    walks = {"walk": np.cumsum(moves, axis=0), "line": np.cumsum(line, axis=0)}
    said = {
        name: findings(trajlab.run("projection", trajlab.from_arrays({"w": path})).compute())[0].text
        for name, path in walks.items()
    }

    assert "no sign of a path of lower dimension than that" in said["walk"]
    assert "a random walk seen at the same steps has 76 % in two" in said["walk"]
    assert "the path is of lower dimension than that" in said["line"]


def test_headlines__name_the_component_that_a_share_is_of(example):
    found = headlines(trajlab.run("projection", example).compute())

    share = found["explained_variance_ratio"]
    assert share.attrs["long_name"] == "whole network: share of the variance over the steps, component 1"
    assert float(share) == pytest.approx(0.98, abs=0.02)


def test_findings__say_what_never_had_a_gradient(example):
    texts = " ".join(one.text for one in findings(trajlab.run("zero_gradients", example).compute()))

    assert re.search(r"\d+ recorded entries \(\d+ %\) never had a gradient", texts)


def test_report__is_one_page_without_outside_requests(page):
    parsed = Page(page)

    assert parsed.open == []
    assert not [link for link in parsed.links if not link.startswith(("#", "data:"))]
    assert "<script" not in page
    assert "url(http" not in page


def test_report__links_every_sentence_to_a_figure_that_exists(page):
    parsed = Page(page)

    assert len(parsed.ids) == len(set(parsed.ids))
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)


def test_report__groups_results_by_question_in_reading_order(results, tmp_path, example):
    def largest(weight):
        return abs(weight).max(weight.dims[1:])

    several = {"largest": trajlab.run(largest, example).compute(), "again": results["drift"]} | results
    page = report(dict(reversed(several.items())), tmp_path / "r.html").read_text()

    nav, main = page.split("<main")
    order = ["again", "drift", "projection", "distribution", "spectrum", "dead_neurons", "zero_gradients", "sign_flips"]
    assert re.findall(r'<section id="(\w+)">', main) == [*order, "largest"]
    headings = re.findall(r"<h2>(.*)</h2>", main)[1:]
    asked = list(dict.fromkeys(question(name) for name in order[1:]))
    assert [heading for heading in headings if not heading.endswith(("Runs", "run"))] == [*asked, OTHERS]
    assert re.findall(r'href="#([^"]+)">', nav)[-2:] == ["group-other-results", "largest"]


def test_report__asks_each_stage_one_question():
    placed = [name for stages in QUESTIONS.values() for name in stages]

    assert len(placed) == len(set(placed))
    assert set(placed) <= set(stage_names())


def test_report__tells_the_first_of_each_stage_at_the_top_and_all_in_the_sections(results, page):
    top, below = page.split('class="standing"')[1].split("<section", 1)
    said = {name: [one.text.replace("`", "") for one in findings(result)] for name, result in results.items()}

    assert sum(map(len, said.values())) > LINES >= top.count("<li>") >= len(results)
    for texts in said.values():
        assert texts[0] in _plain(top)
        assert [text for text in texts if text not in _plain(below)] == []


def test_report__says_what_is_broken_once_at_the_top(tmp_path):
    values = np.ones((6, 3, 3))
    values[4:, 0, 0] = np.nan
    run = trajlab.from_arrays({"w": values})
    result = trajlab.run("drift", run).compute()
    results = {"drift": result, "drift_again": result}
    alarm = "NaN or Inf among the weights from step 4 on"

    top, below = report(results, tmp_path / "r.html").read_text().split('class="standing"')[1].split("<section", 1)

    assert top.count(alarm) == 1
    assert below.count(alarm) == 2


def test_report__folds_all_but_the_first_two_figures_of_a_section(page):
    _, drift = page.split('<section id="drift">')
    drift = drift.partition("</section>")[0]
    opened, _, folded = drift.partition("<details>")

    assert re.findall(r'<figure id="([\w-]+)"', opened) == ["drift-relative", "drift-total"]
    assert "drift-straightness" in re.findall(r'<details>\s*<summary>.*</summary>\s*<figure id="([\w-]+)"', drift)
    assert "<details open" not in drift


def test_report__asks_the_question_of_each_stage(page):
    assert "Did this layer move, how far, by how winding a path, and how much of it moved at all?" in page
    assert "Does the optimizer oscillate across a valley, drift along one, or toss coins?" in page


def test_report__takes_the_colors_of_the_page(page):
    assert "prefers-color-scheme: dark" in page
    assert "fill: var(--ink)" in page
    assert "#2b2f36" not in page


def test_report__gives_the_same_bytes_for_the_same_results(results, tmp_path):
    pages = [report(results, tmp_path / f"{i}.html").read_bytes() for i in range(2)]

    assert pages[0] == pages[1]


def test_report__reads_a_folder_of_results_and_names_the_study(tmp_path):
    run = moving(3, w=1.0)
    run.facts["describe"] = {"study": "walks", "optimizer": "sgd", "seed": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trajlab.run("drift", {"one": run}).compute().to_zarr(tmp_path / "results/drift.zarr", zarr_format=3)

    page = report(tmp_path / "results", tmp_path / "r.html").read_text()

    assert "<h1>walks</h1>" in page
    assert "16 entries in 1 tensor" in page


def test_report__of_a_single_stored_result_is_a_page_of_one_stage(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trajlab.run("drift", moving(3, w=1.0)).compute().to_zarr(tmp_path / "drift.zarr", zarr_format=3)

    page = report(tmp_path / "drift.zarr", tmp_path / "r.html").read_text()

    assert "<h1>drift</h1>" in page
    assert 'id="drift-relative"' in page


def test_report__shows_a_users_own_stage(tmp_path, example):
    def largest(weight):
        return abs(weight).max(weight.dims[1:])

    page = report({"largest": trajlab.run(largest, example).compute()}, tmp_path / "r.html").read_text()

    assert 'id="largest-largest"' in page


def _broken(kind):
    weights = {"a.weight": np.ones((4, 3, 3)), "a.bias": np.zeros((4, 3))}
    gradients = {"a.weight": np.zeros((4, 3, 3))}
    if kind == "nan":
        return trajlab.from_arrays(
            {n: v * np.nan for n, v in weights.items()}, {"a.weight": np.full((4, 3, 3), np.nan)}
        )
    length = {"still": 4, "one step": 1}[kind]
    return trajlab.from_arrays(*({n: v[:length] for n, v in group.items()} for group in (weights, gradients)))


@pytest.mark.parametrize("kind", ["nan", "still", "one step"])
@pytest.mark.parametrize("stacked", [False, True])
def test_report__copes_with_runs_in_which_nothing_is_known(tmp_path, kind, stacked):
    run = {"a": _broken(kind), "b": _broken(kind)} if stacked else _broken(kind)

    page = report({name: trajlab.run(name, run).compute() for name in STAGES}, tmp_path / "r.html").read_text()

    assert ">nan" not in page.lower().replace("nan or inf", "")


def test_report__shows_groups_where_runs_are_many(tmp_path):
    runs = {f"r{i}": moving(3, w=1.0 + i, v=0.5) for i in range(14)}
    for i, run in enumerate(runs.values()):
        run.facts["describe"] = {"init": "xy"[i % 2], "seed": i // 2}

    page = report({"drift": trajlab.run("drift", runs).compute()}, tmp_path / "r.html").read_text()

    assert "x ×7" in page
    assert "14 runs, 2 inits and 7 seeds" in page
    table = page.partition("In numbers")[2]
    assert "<td>x ×7</td><td>4.96<small>0.791 to 9.2</small></td>" in table  # sqrt((v² + 0.5²) / 2) for v = 7, 1 and 13
    assert re.findall(r"<td>(r\d+)</td>", table) == [f"r{i}" for i in [*range(0, 14, 2), *range(1, 14, 2)]]


def test_report__sums_up_runs_by_their_distance_from_a_parent_without_the_path(tmp_path):
    own = trajlab.run("drift", moving(3, w=1.0)).compute()
    parent = trajlab.run("drift", moving(3, w=1.0), parent=moving(3, w=2.0)).compute()
    later = trajlab.run("drift", moving(3, w=1.0), reference=1).compute()

    assert {"straightness", "path_length"} <= set(headlines(own))
    for result in (parent, later):
        assert not {"straightness", "path_length"} & set(headlines(result))
        assert "relative" in headlines(result)


def _named(run, **facts):
    run.facts["describe"] = facts
    return run


def test_report__of_several_studies_is_named_after_what_they_share(tmp_path):
    for study in ("mnist", "spirals"):
        runs = {f"{lr}": _named(moving(3, w=lr), study=f"looking/{study}", lr=lr) for lr in (0.1, 0.2, 0.3)}
        write({tmp_path / "all" / study / "drift.zarr": trajlab.run("drift", runs).compute()})

    page = report(tmp_path / "all", tmp_path / "r.html").read_text()
    one = report(tmp_path / "all" / "mnist", tmp_path / "one.html").read_text()

    assert "<h1>looking</h1>" in page
    assert "<h1>looking/mnist</h1>" in one
    assert "6 runs, 2 studies and 3 learning rates" in page
    table = page.partition('id="runs"')[2].partition("</table>")[0]
    assert '<td class="word">mnist</td><td>0.1</td>' in table


def test_report__of_unlike_studies_is_named_after_their_folder(tmp_path):
    for study in ("mnist", "spirals"):
        run = _named(moving(3, w=1.0), study=study)
        write({tmp_path / "all" / study / "drift.zarr": trajlab.run("drift", {"a": run}).compute()})

    assert "<h1>all</h1>" in report(tmp_path / "all", tmp_path / "r.html").read_text()


def test_report__shows_no_parents_among_what_sets_runs_apart(tmp_path):
    parents = {"a": "", "b": "", "b2": "a", "b3": "b"}
    runs = {
        name: _named(moving(3, w=1.0), variant=name[0], seed=i, parent=parent, parent_step="0" if parent else "")
        for i, (name, parent) in enumerate(parents.items())
    }

    page = report({"drift": trajlab.run("drift", runs).compute()}, tmp_path / "r.html").read_text()

    header = page.partition('id="runs"')[2].partition("</thead>")[0]
    assert re.findall(r"<th(?: [^>]*)?>(.*?)</th>", header) == ["run", "variant", "seed"]


def test_report__never_overwrites_silently(results, tmp_path):
    out = tmp_path / "r.html"
    out.write_text("mine")

    with pytest.raises(OutputExists, match="exists already"):
        report(results, out)
    assert out.read_text() == "mine"
    report({"drift": results["drift"]}, out, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_report__says_what_is_missing_or_of_another_version(results, tmp_path):
    with pytest.raises(MissingData, match="there is none"):
        report(tmp_path / "nothing", tmp_path / "r.html")
    with pytest.raises(MissingData, match="there are none"):
        report(tmp_path, tmp_path / "r.html")
    other = results["drift"].assign_attrs(Conventions="trajlab-result-99")
    with pytest.raises(DamagedData, match="it says trajlab-result-99"):
        report({"drift": other}, tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_summary__gives_the_last_finite_value_of_each_run(tmp_path):
    runs = {"near": moving(4, w=0.5), "far": moving(4, w=2.0)}
    result = trajlab.run("drift", runs).compute()

    found = summary({"drift": result})

    assert found["near"]["drift"]["relative"] == pytest.approx(0.5)
    assert found["far"]["drift"]["relative"] == pytest.approx(2.0)
    report({"drift": result}, tmp_path / "r.html", metrics=tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text()) == found


def test_report__the_page_and_its_numbers_are_two_files(results, tmp_path):
    (tmp_path / "r.html").write_text("kept")
    with pytest.raises(BadSetting, match="Name another file"):
        report(results, tmp_path / "r.html", metrics=tmp_path / "." / "r.html", overwrite=True)
    assert (tmp_path / "r.html").read_text() == "kept"


@pytest.mark.parametrize("lost", ["relative", "total_straightness", "unchanged_cause"])
def test_report__a_result_without_a_variable_of_its_stage_is_named(results, tmp_path, lost):
    write({tmp_path / "drift.zarr": results["drift"].drop_vars(lost)})
    with pytest.raises(DamagedData, match=f"drift in {tmp_path}.*{lost}") as error:
        report(tmp_path, tmp_path / "r.html")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["foreign", "garbage", "codec", "chunk"])
def test_report__and_figure_name_a_store_that_is_no_result(results, tmp_path, damage):
    place = tmp_path / "drift.zarr"
    if damage == "foreign":
        xr.Dataset({"x": ("step", [1.0, 2.0])}).to_zarr(place, zarr_format=3, consolidated=False)
    else:
        write({place: results["drift"]})
        path, text = place / "zarr.json", (place / "zarr.json").read_text()
        if damage == "chunk":
            path = min((place / "total_norm" / "c").iterdir())
        path.write_text({"garbage": "{", "codec": text.replace('"zstd"', "[1]"), "chunk": ""}[damage])
    for look in (lambda: report(tmp_path, tmp_path / "r.html"), lambda: save(place, tmp_path / "x.png")):
        with pytest.raises(DamagedData, match=str(place)) as error:
            look()
        assert "\n" not in str(error.value)
    assert not (tmp_path / "r.html").exists() and not (tmp_path / "x.png").exists()


def test_findings__say_which_filter_changed_most_and_least():
    kernels = np.ones((2, 3, 1, 2, 2))
    kernels[1] *= np.array([1.1, 3.0, 1.5])[:, None, None, None]
    result = trajlab.run("filters", trajlab.from_arrays({"conv.weight": kernels})).compute()

    said = [one.text for one in findings(result)]

    assert said == ["Filter 1 of `conv.weight` changed most: by 200 % of its norm at step 0; filter 0 least, by 10 %."]
    kernels[1, 0] = np.nan
    broken = trajlab.run("filters", trajlab.from_arrays({"conv.weight": kernels})).compute()
    assert findings(broken)[0].text == "NaN or Inf among the weights from step 1 on."


def test_findings__say_how_many_units_switch_in_the_picture():
    weight, bias = np.ones((2, 4, 2)), np.array([[0.0, 0, 0, 0], [0, 9, 9, 9]])
    run = trajlab.from_arrays({"fc.weight": weight, "fc.bias": bias}, steps=[0, 50])

    said = [one.text for one in findings(trajlab.run("unit_lines", run).compute())]
    still = trajlab.from_arrays({"fc.weight": weight})

    assert said == [
        "The lines of 100 % of the units of `fc.weight` cross the picture at step 0, of 25 % at step 50; "
        "the others are on, or off, on all of it."
    ]
    text = "The lines of all units of `fc.weight` cross the picture at every step shown."
    assert [one.text for one in findings(trajlab.run("unit_lines", still).compute())] == [text]


def test_findings__count_the_rules_that_fire_before_each_of_them(rng):
    steady = 0.1 * rng.standard_normal((6, 8)) + np.cumsum(0.001 * rng.standard_normal((12, 6, 8)), axis=0)
    runs = {
        "good": trajlab.from_arrays({"a.weight": steady, "b.weight": steady}),
        "bad": trajlab.from_arrays({"a.weight": steady, "b.weight": 0 * steady}),
    }

    said = [one.text for one in findings(trajlab.run("alerts", runs).compute())]
    alone = [one.text for one in findings(trajlab.run("alerts", runs["bad"]).compute())]

    assert said[0] == (
        "5 of 7 rules fire: `AllZero`, `UnchangedTensor`, `TensorVariance`, `WeightUpdateRatio` and "
        "`PoorWeightInitialization` in 1 of 2 runs."
    )
    assert said[1].startswith("`AllZero` fires first at step 0")
    assert alone[0] == said[0].replace(" in 1 of 2 runs", "")


def test_report__asks_of_a_later_layer_what_its_own_filters_look_for(tmp_path):
    run = trajlab.from_arrays({"conv.weight": np.ones((2, 3, 1, 2, 2))})
    result = trajlab.run("filters", run).compute()

    page = _plain(report({"filters": result, "filters_second": result}, tmp_path / "r.html").read_text())

    assert "What do the first filters look for" in page
    assert "What do the second filters look for" in page
    assert "second filters" in page and "filters second" not in page
