import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from scipy import optimize
from torch import nn

import trajlab
from tests.stages.samples_of_entries import coverage, sample
from trajlab.errors import BadSetting, MissingData
from trajlab.reports.findings import findings
from trajlab.stages.comparison import comparison
from trajlab.statistics.scores import along


def walk(values, steps=None, **facts):
    run = trajlab.from_arrays({"w": np.asarray(values, np.float32)}, steps=steps)
    run.facts["describe"] = facts
    return run


def test_comparison__hand_made_walks():
    """Two runs leave from points 5 apart, the one along x and the other along both axes."""
    runs = {"a": walk([[3, 0], [5, 0]]), "b": walk([[0, 4], [1, 5]])}
    result = trajlab.run("comparison", runs).compute().sel(run="a", other="b", parameter="w")
    np.testing.assert_allclose(result.distance, [5, np.hypot(4, 5)])
    np.testing.assert_allclose(result.relative_distance[0], 2 * 5 / 7)
    np.testing.assert_allclose(result.cosine, [0, 5 / 5 / np.sqrt(26)])
    np.testing.assert_allclose(result.update_cosine[1], 1 / np.sqrt(2))
    np.testing.assert_allclose(result.update_cosine_null, 1 / np.sqrt(2))
    assert np.isnan(result.update_cosine[0])
    assert result.changed.values.tolist() == [1, 1]


def test_comparison__agrees_with_numpy(example):
    other = trajlab.example(seed=1)
    result = trajlab.run("comparison", {"a": example, "b": other}).compute().sel(run="b", other="a")
    flat = {
        name: [run.weights[name].values.reshape(21, -1).astype(float) for run in (example, other)]
        for name in example.weights
    }
    squares = [[((run[1:] - run[0]) ** 2).sum(1) for run in pair] for pair in flat.values()]
    sizes = [pair[0].shape[1] for pair in flat.values()]
    spread = np.sqrt(sum(uu * vv / n for (uu, vv), n in zip(squares, sizes, strict=True)))
    total_null = spread / np.sqrt(np.prod(np.sum(squares, axis=0), axis=0))
    flat["total"] = [np.hstack([pair[i] for pair in flat.values()]) for i in (0, 1)]
    for name, (a, b) in flat.items():
        actual = result.sel(parameter=name) if name in example.weights else result
        prefix = "" if name in example.weights else "total_"
        norms = [np.linalg.norm(one, axis=1) for one in (a, b)]
        u, v = a[1:] - a[0], b[1:] - b[0]
        with np.errstate(invalid="ignore"):
            expected = {
                "distance": np.linalg.norm(a - b, axis=1),
                "relative_distance": 2 * np.linalg.norm(a - b, axis=1) / sum(norms),
                "cosine": (a * b).sum(1) / norms[0] / norms[1],
                "changed": (a != b).mean(1),
                "update_cosine": np.append(
                    np.nan, (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
                ),
                "update_cosine_null": np.append(np.nan, total_null) if prefix else np.full(21, a.shape[1] ** -0.5),
            }
        for variable, values in expected.items():
            np.testing.assert_allclose(actual[prefix + variable], values, rtol=1e-11, atol=1e-12, err_msg=variable)


def test_comparison__every_two_runs_both_ways_and_the_parent():
    runs = {
        name: walk(np.full((3, 2), position), seed=position) for name, position in zip("abc", (0, 1, 3), strict=True)
    }
    result = trajlab.run("comparison", runs, parent=walk(np.full((3, 2), 7))).compute()
    assert result.run.values.tolist() == ["a", "b", "c"]
    assert result.other.values.tolist() == ["a", "b", "c", "parent"]
    assert result.seed.dims == ("run",)
    apart = result.distance.isel(step=-1, parameter=0).transpose("run", "other") / np.sqrt(2)
    np.testing.assert_allclose(apart, [[np.nan, 1, 3, 7], [1, np.nan, 2, 6], [3, 2, np.nan, 4]])


def test_comparison__a_single_run_is_held_against_its_parent():
    result = trajlab.run("comparison", walk([[1, 1]]), parent=walk([[1, 3]])).compute()
    assert result.distance.dims == ("other", "step", "parameter")
    assert result.distance.sel(other="parent").item() == 2


def test_comparison__steps_of_only_one_run_are_left_out_and_counted():
    runs = {
        "a": walk([[0], [1], [2], [3]], steps=[0, 10, 20, 30]),
        "b": walk([[5], [5], [5]], steps=[10, 15, 30]),
        "c": walk([[9], [9]], steps=[0, 10]),
    }
    result = trajlab.run("comparison", runs).compute()
    ab = result.sel(run="a", other="b", parameter="w").dropna("step", subset=["distance"])
    assert ab.step.values.tolist() == [10, 30]
    assert ab.distance.values.tolist() == [4, 2]
    assert result.unshared_steps.sel(run="a").values[1:].tolist() == [3, 2]
    assert np.isnan(ab.update_cosine).all()  # 30 is one step after their common start, and b stood still


def test_comparison__nan_and_inf_are_counted_and_left_out():
    runs = {"a": walk([[1, 2, np.nan], [1, np.inf, 2]]), "b": walk([[1, 5, 7], [2, 2, np.nan]])}
    result = trajlab.run("comparison", runs).compute().sel(run="a", other="b", parameter="w")
    assert result.nonfinite.values.tolist() == [1, 2]
    assert result.distance.values.tolist() == [3, 1]
    assert result.changed.values.tolist() == [0.5, 1]
    np.testing.assert_allclose(result.update_cosine_null, [1 / np.sqrt(2), 1])


def test_comparison__on_sampled_gradients_of_other_entries_is_refused(tmp_path):

    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        model = torch.nn.Linear(9, 9)
        with trajlab.Recorder(model, tmp_path / name, gradients=10, seed=seed) as recorder:
            model(torch.ones(2, 9)).sum().backward()
            recorder.step()
    runs = {name: trajlab.open(tmp_path / name) for name in "abc"}
    assert trajlab.run("comparison", {k: runs[k] for k in "ab"}, on="gradients").compute().total_distance.size
    with pytest.raises(MissingData, match="entries"):
        trajlab.run("comparison", runs, on="gradients")


def test_comparison__says_what_it_lacks(example):
    with pytest.raises(MissingData, match="needs two runs.*--parent"):
        trajlab.run("comparison", example)
    with pytest.raises(MissingData, match="two runs"):
        trajlab.run("comparison", {"a": example})
    with pytest.raises(MissingData, match="0 to 0.*5 to 5"):
        trajlab.run("comparison", {"a": walk([[0]]), "b": walk([[0]], steps=[5])})
    with pytest.raises(MissingData, match=r"cannot compare the weights: w is \(1,\) in one and \(2,\) in the other"):
        trajlab.run("comparison", {"a": walk([[0]]), "b": walk([[0, 0]])})
    with pytest.raises(BadSetting, match="'parent'"):
        trajlab.run("comparison", {"a": walk([[0]]), "parent": walk([[0]])}, parent=walk([[0]]))


@pytest.mark.slow
def test_comparison__of_sixteen_runs_has_few_tasks():
    runs = {str(seed): trajlab.example(seed=seed) for seed in range(16)}
    assert len(trajlab.run("comparison", runs).total_distance.__dask_graph__()) < 10_000


def net(units=6):
    return nn.Sequential(nn.Linear(5, units), nn.ReLU(), nn.Linear(units, 3))


def trained(seed, order=None, probe=0):
    """Three snapshots of a small net, its hidden units in an order, with a probe."""
    torch.manual_seed(seed)
    states = [net().state_dict() for _ in range(3)]
    order = torch.arange(6) if order is None else torch.as_tensor(order)
    for state in states:
        state["0.weight"], state["0.bias"] = state["0.weight"][order], state["0.bias"][order]
        state["2.weight"] = state["2.weight"][:, order]
    run = trajlab.from_arrays({name: np.stack([state[name] for state in states]) for name in states[0]})
    run.facts["describe"] = {"model": {"factory": "tests.stages.comparison.test_comparison:net", "arguments": {}}}
    rng = np.random.default_rng(probe)
    inputs, targets = rng.standard_normal((40, 5)).astype(np.float32), rng.integers(3, size=40)
    run.probe = xr.Dataset(
        {"inputs": (("sample", "f"), inputs), "targets": ("sample", targets)}, attrs={"sha256": f"{probe}"}
    )
    return run


def test_comparison__a_permuted_copy_has_the_same_units_in_another_place():
    runs = {"a": trained(0), "copy": trained(0, order=[3, 1, 5, 0, 2, 4]), "other": trained(1)}
    result = trajlab.run("comparison", runs, steps=[0, 2]).compute().sel(run="a")
    copy, other = result.sel(other="copy"), result.sel(other="other")
    assert (copy.total_distance > 0.5).all()
    np.testing.assert_allclose(copy.matched_weights.sel(parameter="0.weight"), [1, np.nan, 1])
    np.testing.assert_allclose(copy.matched_features.sel(layer="1"), [1, np.nan, 1])
    assert copy.matched_weights.sel(parameter="2.weight").max() < 0.9  # its columns stand in another order
    assert other.matched_features[-1, 0] < 0.9
    assert np.isnan(result.matched_weights.sel(parameter="0.bias")).all()
    assert copy.matched_weights_units.sel(parameter="0.weight")[-1] == 6


def test_comparison__features_agree_with_correlations_by_torch():
    runs = {"a": trained(0), "b": trained(1)}
    result = trajlab.run("comparison", runs).compute().sel(run="a", other="b", step=2)
    hidden = []
    for run in runs.values():
        model = net()
        model.load_state_dict(run.at(2))
        hidden.append(model[1](model[0](torch.as_tensor(run.probe.inputs.values))).detach().double())
    alike = torch.corrcoef(torch.cat(hidden, dim=1).T)[:6, 6:].numpy()
    alike = alike[~np.isnan(alike).all(1)][:, ~np.isnan(alike).all(0)]
    rows, columns = optimize.linear_sum_assignment(-alike)
    assert result.matched_features.sel(layer="1").item() == pytest.approx(alike[rows, columns].mean(), rel=1e-6)


def test_comparison__refuses_runs_with_different_probes_and_odd_settings():
    runs = {"a": trained(0), "b": trained(1, probe=7)}
    with pytest.raises(BadSetting, match="0, 7"):
        trajlab.run("comparison", runs)
    assert "matched_features" not in trajlab.run("comparison", runs, features=False)
    with pytest.raises(BadSetting, match="shuffles=-1"):
        trajlab.run("comparison", runs, shuffles=-1)
    with pytest.raises(MissingData, match="step 9"):
        trajlab.run("comparison", runs, steps=[9])


def test_comparison__a_permuted_copy_is_no_way_off_once_aligned():
    runs = {"a": trained(0), "copy": trained(0, order=[3, 1, 5, 0, 2, 4]), "other": trained(1)}
    result = trajlab.run("comparison", runs, steps=[0, -1]).compute().sel(run="a")
    copy, other = result.sel(other="copy"), result.sel(other="other")
    assert (copy.aligned_distance.sel(step=[0, 2]) == 0).all() and np.isnan(copy.aligned_distance.sel(step=1)).all()
    assert (copy.total_distance > 0.5).all()
    np.testing.assert_allclose(copy.aligned_line_loss, copy.line_loss[0], rtol=1e-5)
    assert abs(copy.line_loss - copy.line_loss[0]).max() > 1e-3
    assert 0 < other.total_aligned_distance[-1] < other.total_distance[-1]
    assert result.attrs["alignment"] == "units of 0.weight"


def test_comparison__loss_along_the_line_agrees_with_torch():
    runs = {"a": trained(0), "b": trained(1)}
    result = trajlab.run("comparison", runs).compute().sel(run="b", other="a")
    states, losses = [run.at(2) for run in runs.values()], []
    inputs, labels = (torch.as_tensor(runs["a"].probe[name].values) for name in ("inputs", "targets"))
    for alpha in result.alpha.values:
        model = net()
        model.load_state_dict({name: (1 - alpha) * states[0][name] + alpha * states[1][name] for name in states[0]})
        losses.append(nn.functional.cross_entropy(model(inputs), labels).item())
    np.testing.assert_allclose(result.line_loss, losses, rtol=1e-5)
    rise = np.array(losses) - np.linspace(losses[0], losses[-1], 11)
    np.testing.assert_allclose(result.barrier, rise.max(), atol=1e-5)


def test_comparison__says_why_units_are_not_aligned():
    runs = {"a": walk([[1, 2]]), "b": walk([[3, 4]])}
    result = trajlab.run("comparison", runs).compute()
    assert result.attrs["alignment"] == "there is no hidden layer"
    assert np.isnan(result.aligned_distance).all() and "aligned_line_loss" not in result
    plain = trajlab.run("comparison", {"a": trained(0), "b": trained(1)}, interpolation=False).compute()
    assert "line_loss" not in plain and "total_aligned_distance" in plain


def test_comparison__the_barrier_is_the_largest_rise_above_the_ends():
    loss = [1.0, 3.0, 2.0, 5.0]  # above the line from 1 to 5: 0, 2/3, -5/3, 0
    table = xr.DataArray([[value, 1] for value in loss], {"column": ["loss", "scored"]}, ("point", "column"))
    actual, barrier = along(table)
    assert actual.values.tolist() == loss
    assert barrier.item() == pytest.approx(2 / 3)


def test_comparison__long_rows_in_files_of_two_types_at_other_steps(checkpoints, tmp_path, rng):
    """Rows that are read a tile at a time, of bf16 and of float32 files."""
    a, b = rng.standard_normal((2, 4, 150, 200)).astype(np.float32)
    a = torch.from_numpy(a).bfloat16()
    for row, step in enumerate((0, 5, 10, 20)):
        (tmp_path / "a" / f"checkpoint-{step}").mkdir(parents=True)
        save_file({"w.weight": a[row].clone()}, tmp_path / "a" / f"checkpoint-{step}" / "model.safetensors")
    checkpoints({"w.weight": b}, steps=(5, 7, 10, 20), folder=tmp_path / "b")
    runs = {name: trajlab.open(tmp_path / name) for name in "ab"}
    result = trajlab.run("comparison", runs, shuffles=0).compute().sel(run="a", other="b")
    assert result.step.values.tolist() == [5, 10, 20]
    x, y = a.double().numpy()[[1, 2, 3]].reshape(3, -1), b[[0, 2, 3]].astype(float).reshape(3, -1)
    np.testing.assert_allclose(result.total_distance, np.linalg.norm(x - y, axis=1), rtol=1e-12)
    u, v = x[1:] - x[0], y[1:] - y[0]
    expected = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(result.total_update_cosine[1:], expected, rtol=1e-10)
    assert result.unshared_steps == 2


def perceptron():
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))


def test_comparison__lines_name_their_ends_and_may_end_at_each_runs_own_step():
    """Both runs start at one network and were recorded at other steps ever since."""
    states, inputs = {}, torch.randn(60, 2, generator=torch.Generator().manual_seed(5))
    for seed in range(3):
        torch.manual_seed(seed)
        states[seed] = perceptron().state_dict()
    runs = {
        name: trajlab.from_arrays(
            {key: np.stack([states[0][key], states[seed][key]]) for key in states[0]}, steps=[0, last]
        )
        for name, seed, last in (("a", 1, 80), ("b", 2, 100))
    }
    targets = (inputs[:, 0] > 0).long()

    def loss(alpha):
        model = perceptron()
        model.load_state_dict({key: (1 - alpha) * states[1][key] + alpha * states[2][key] for key in states[1]})
        with torch.no_grad():
            return nn.functional.cross_entropy(model(inputs), targets).item()

    settings = {"model": perceptron, "probe": (inputs, targets), "features": False}
    shared = trajlab.run("comparison", runs, **settings).compute()
    own = trajlab.run("comparison", runs, ends="own", **settings).compute()
    alphas = np.linspace(0, 1, 11)
    losses = np.array([loss(alpha) for alpha in alphas])
    for order in ({"run": "a", "other": "b"}, {"run": "b", "other": "a"}):
        assert shared.line_steps.sel(order).values.tolist() == [0, 0]
        assert own.line_steps.sel(order).values.tolist() == [80, 100]
        np.testing.assert_allclose(own.line_loss.sel(order), losses, rtol=1e-4)
    barrier = (losses - ((1 - alphas) * losses[0] + alphas * losses[-1])).max()
    assert own.barrier.sel(run="a", other="b") == pytest.approx(barrier, rel=1e-3, abs=1e-6)
    assert np.ptp(shared.line_loss.sel(run="a", other="b").values) < 1e-6
    wording = [" ".join(finding.text for finding in findings(result)) for result in (shared, own)]
    assert "ends at step 0" in wording[0] and "at step 0, the last that they share" in wording[0]
    assert "ends at steps 80 and 100" in wording[1]
    with pytest.raises(BadSetting, match="ends='all'"):
        trajlab.run("comparison", runs, ends="all")


def test_comparison__sampled_entries_count_for_the_whole_tensor(rng):
    a = rng.standard_normal((3, 1000)).cumsum(0)
    b = rng.standard_normal((3, 1000)).cumsum(0) + 0.5 * a
    ours = {f"draw {i}": sample(a, 200, rng) for i in range(150)}
    theirs = {name: array.copy(data=b[:, array["index"].values]) for name, array in ours.items()}
    result = comparison(ours, theirs).compute()
    norm = np.linalg.norm
    u, v = a[1:] - a[0], b[1:] - b[0]
    truth = {
        "distance": norm(a - b, axis=1),
        "relative_distance": 2 * norm(a - b, axis=1) / (norm(a, axis=1) + norm(b, axis=1)),
        "cosine": (a * b).sum(1) / norm(a, axis=1) / norm(b, axis=1),
        "update_cosine": (u * v).sum(1) / norm(u, axis=1) / norm(v, axis=1),
    }
    for name, values in truth.items():
        rows = slice(-len(values), None)
        estimates, errors = (result[key].transpose("parameter", "step").values[:, rows] for key in (name, f"{name}_se"))
        covered = coverage(estimates, errors, values)
        assert (0.88 < covered).all() and (covered < 1).all(), (name, covered)
        np.testing.assert_allclose(estimates.mean(0), values, rtol=0.03, err_msg=name)
    np.testing.assert_allclose(result.total_distance, np.sqrt((result.distance**2).sum("parameter")))
    expected = np.sqrt((2 * result.distance * result.distance_se).pipe(np.square).sum("parameter"))
    np.testing.assert_allclose(result.total_distance_se, expected / (2 * result.total_distance))
    full = comparison({"w": ours["draw 0"].drop_vars("index")}, {"w": theirs["draw 0"].drop_vars("index")})
    assert full.distance_se.notnull().all()


@pytest.mark.parametrize("size", [1e-100, 1e-80, 1e100])
def test_comparison__of_float64_beyond_the_range_of_float32(rng, size):
    a, b = rng.standard_normal((2, 3, 40))
    plain = trajlab.run("comparison", {"a": walk64(a), "b": walk64(b)}).compute()
    scaled = trajlab.run("comparison", {"a": walk64(size * a), "b": walk64(size * b)}).compute()
    for name in ("cosine", "update_cosine", "relative_distance", "total_update_cosine"):
        np.testing.assert_allclose(scaled[name], plain[name], rtol=1e-12)
    np.testing.assert_allclose(scaled.distance, size * plain.distance, rtol=1e-12)


def walk64(values):
    return trajlab.from_arrays({"w": values})


def test_comparison__the_line_of_a_single_output_is_scored_as_a_logit():
    import torch
    from torch import nn

    def build():
        return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))

    torch.manual_seed(0)
    nets, x = [build(), build()], torch.randn(30, 2)
    y = (x[:, 0] > 0).long()
    runs = {
        name: trajlab.from_arrays({key: value.detach().numpy()[None] for key, value in net.state_dict().items()})
        for name, net in zip("ab", nets, strict=True)
    }
    actual = trajlab.run("comparison", runs, model=build, probe=(x, y)).compute()
    with torch.no_grad():
        ends = [nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], y.float()).item() for net in nets]
    line = actual.line_loss.sel(run="a", other="b")
    np.testing.assert_allclose(line.isel(alpha=[0, -1]), ends, rtol=1e-5)
    mse = trajlab.run("comparison", runs, model=build, probe=(x, y), objective="mse").compute()
    with torch.no_grad():
        assert mse.line_loss.sel(run="a", other="b")[0] == pytest.approx(((nets[0](x)[:, 0] - y) ** 2).mean().item())


def test_comparison__matches_the_units_of_chosen_layers_only():
    runs = {"a": trained(0), "b": trained(1)}
    everything = trajlab.run("comparison", runs, shuffles=0, interpolation=False).compute()
    layers = everything["layer"].values.tolist()
    chosen = trajlab.run(
        "comparison", runs, shuffles=0, interpolation=False, layers=layers[:1], match_weights=False
    ).compute()

    assert chosen["layer"].values.tolist() == layers[:1]
    xr.testing.assert_allclose(
        chosen["matched_features"], everything["matched_features"].sel(layer=layers[:1]), check_dim_order=True
    )
    xr.testing.assert_allclose(chosen["total_distance"], everything["total_distance"])
    assert "matched_weights" in everything and "matched_weights" not in chosen
    assert chosen["aligned_distance"].isnull().all()


def test_comparison__matches_the_outputs_of_any_module_by_name():
    runs = {"a": trained(0), "b": trained(1)}
    result = trajlab.run("comparison", runs, shuffles=0, layers=["2"], match_weights=False).compute()
    outputs = []
    for run in runs.values():
        model = net()
        model.load_state_dict(run.at(2))
        outputs.append(model(torch.as_tensor(run.probe.inputs.values)).detach().double())
    similarity = torch.corrcoef(torch.cat(outputs, dim=1).T)[:3, 3:].numpy()
    rows, columns = optimize.linear_sum_assignment(-similarity)

    assert result["layer"].values.tolist() == ["2"]
    matched = result["matched_features"].sel(run="a", other="b", step=2).item()
    assert matched == pytest.approx(similarity[rows, columns].mean(), rel=1e-6)
    with pytest.raises(BadSetting, match="no_such_layer"):
        trajlab.run("comparison", runs, layers=["no_such_layer"])


def test_comparison__layers_of_many_units_are_named_and_not_matched(rng):
    runs = {
        name: trajlab.from_arrays(
            {"wide.weight": rng.standard_normal((2, 50, 4)), "fc.weight": rng.standard_normal((2, 6, 4))}
        )
        for name in "ab"
    }
    result = trajlab.run("comparison", runs, max_units=40, shuffles=2).compute().sel(run="a", other="b")
    assert result.attrs["not_matched"] == "wide.weight: more than 40 units"
    assert result.matched_weights.isel(step=-1).isnull().values.tolist() == [True, False]
    assert result.distance.isel(step=-1).notnull().all()
    with pytest.raises(BadSetting, match="max_units=0"):
        trajlab.run("comparison", runs, max_units=0)
