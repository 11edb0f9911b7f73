import dask
import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import figure, panels
from trajlab.reports.findings import findings
from trajlab.running.fuse import fuse_scans
from trajlab.stages.saturation import saturation


def layer(values, *dims, **attrs) -> xr.DataArray:
    """Activations of one layer, dims (step, sample, unit) unless said otherwise."""
    values = np.asarray(values, np.float32)
    return xr.DataArray(values, {"step": np.arange(len(values))}, ("step", *(dims or ("sample", "unit"))), attrs=attrs)


def of(arrays, **settings) -> xr.Dataset:
    return saturation(lambda **asked: arrays, **settings).compute()


def test_saturation__hand_made_tanh():
    h = [[[0.995, -1.0, 0.5], [0.999, 0.98, -0.995], [0.5, -0.992, np.nan], [1.0, 0.0, np.inf]]]
    actual = of({"act": layer(h, module_class="Tanh", source="fc")}, min_share=0.7).isel(step=0, layer=0)

    np.testing.assert_array_equal(actual.saturated, [0.75, 0.5, 0.5])
    assert actual.fraction_saturated == 6 / 10 and actual.total_fraction_saturated == 6 / 10
    assert (actual.fraction_low, actual.fraction_high) == (3 / 10, 3 / 10)
    assert actual.fraction_units_saturated == pytest.approx(1 / 3)
    assert actual.nonfinite == 2
    assert (actual.rule.item(), actual.source.item(), actual.units.item()) == ("|a| > 0.99", "fc", 3)


GRID = torch.linspace(-120, 120, 9601).double()
MODULES = {
    "ReLU": (nn.ReLU(), lambda x, a: (a == 0, None)),
    "ReLU6": (nn.ReLU6(), lambda x, a: (a <= 0, a >= 6)),
    "Hardtanh": (nn.Hardtanh(-2.0, 3.0), lambda x, a: (a <= -2, a >= 3)),
    "Hardsigmoid": (nn.Hardsigmoid(), lambda x, a: (a <= 0, a >= 1)),
    "Hardswish": (nn.Hardswish(), lambda x, a: (a == 0, None)),
    "Tanh": (nn.Tanh(), lambda x, a: (a < -0.99, a > 0.99)),
    "Softsign": (nn.Softsign(), lambda x, a: (a < -0.99, a > 0.99)),
    "Sigmoid": (nn.Sigmoid(), lambda x, a: (a < 0.01, a > 0.99)),
    "ELU": (nn.ELU(2.0), lambda x, a: (a < -1.98, None)),
    "CELU": (nn.CELU(2.0), lambda x, a: (a < -1.98, None)),
    "SELU": (nn.SELU(), lambda x, a: (a < -0.99 * 1.7580993408473766, None)),
    "Softplus": (nn.Softplus(2.0), lambda x, a: (torch.sigmoid(2 * x) < 0.01, None)),
    "LogSigmoid": (nn.LogSigmoid(), lambda x, a: (None, torch.sigmoid(x) > 0.99)),
    "GELU": (nn.GELU(), lambda x, a: ((a >= -1e-3) & (a <= 0), None)),
    "SiLU": (nn.SiLU(), lambda x, a: ((a >= -1e-3) & (a <= 0), None)),
    "LeakyReLU": (nn.LeakyReLU(), lambda x, a: (torch.zeros_like(a, dtype=torch.bool), None)),
}


@pytest.mark.parametrize("name", MODULES)
def test_saturation__the_rule_goes_by_the_module(name):
    module, expected = MODULES[name]
    run = trajlab.from_arrays({"0.weight": np.ones((2, 1, 1)), "0.bias": np.zeros((2, 1))})
    net = nn.Sequential(nn.Linear(1, 1), module).double()
    probe = GRID[:, None]
    actual = saturation(lambda **asked: trajlab.replay(run, model=net, probe=probe, **asked)).compute()

    activations = module(GRID)
    for side, counts in zip(("low", "high"), expected(GRID, activations), strict=True):
        value = actual[f"fraction_{side}"][1, 0].item()
        if counts is None:
            assert np.isnan(value)
        else:
            assert value == counts.double().mean().item()
            assert name == "LeakyReLU" or 0 < value < 1
    assert actual.layer.values.tolist() == ["1"] and actual.rule.item() != "none"


def test_saturation__other_activations_have_no_rule():
    actual = of(
        {"a": layer(np.zeros((2, 3, 4)), module_class="Mine"), "b": layer(np.zeros((2, 3, 2)), module_class="ReLU")}
    )
    assert actual.rule.values.tolist() == ["none", "a = 0"]
    assert np.isnan(actual.saturated[:, 0]).all() and np.isnan(actual.fraction_saturated[:, 0]).all()
    assert (actual.total_fraction_saturated == 1).all() and (actual.total_fraction_units_saturated == 1).all()
    assert any("`a` has no rule" in finding.text for finding in findings(actual.assign_attrs(stage="saturation")))


def test_saturation__functional_activations_count_where_they_would_pass_zero():
    h = [[[-1.0, 2.0], [0.0, -3.0]]]
    actual = of({"fc": layer(h, activation=False, module_class="Linear")})
    assert actual.saturated[0, 0].values.tolist() == [1.0, 0.5]
    assert "rectified" in actual.rule.item()


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.act = nn.GELU()
        self.head = nn.Linear(8, 3)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, tokens):
        x = self.embedding(tokens)
        return self.softmax(self.head(self.act(self.attention(x, x, x)[0])).mean(1))


def recorded(build, steps=4, scale=1.5):
    """Snapshots of a network whose weights grow."""
    torch.manual_seed(0)
    state = build().state_dict()
    arrays = {name: np.stack([value.float().numpy() * scale**k for k in range(steps)]) for name, value in state.items()}
    return trajlab.from_arrays(arrays, steps=[0, 10, 15, 100][:steps])


def test_saturation__of_a_transformer_is_what_a_loop_of_torch_gives():
    run, tokens = recorded(Transformer, scale=3.0), torch.randint(9, (20, 5))
    actual = saturation(lambda **asked: trajlab.replay(run, model=Transformer, probe=tokens, **asked), softmax=0.9)
    actual = actual.compute()

    assert actual.layer.values.tolist() == ["attention[1]", "act", "softmax"]
    assert actual.units.values.tolist() == [2, 8, 3]
    for position, step in enumerate(run.steps):
        net = Transformer().eval()
        net.load_state_dict(run.at(int(step)))
        with torch.no_grad():
            x = net.embedding(tokens)
            out, weights = net.attention(x, x, x, average_attn_weights=False)
            act = net.act(out)
            p = net(tokens)
        at = actual.isel(step=position)
        sure = (weights.amax(-1) > 0.9).double()
        np.testing.assert_allclose(at.saturated.sel(layer="attention[1]")[:2], sure.mean((0, 2)), atol=0.011)
        stuck = ((act >= -1e-3) & (act <= 0)).double()
        np.testing.assert_allclose(at.saturated.sel(layer="act")[:8], stuck.mean((0, 1)), atol=0.011)
        np.testing.assert_allclose(at.fraction_saturated.sel(layer="softmax"), (p.amax(1) > 0.9).double().mean())
    assert np.isnan(actual.saturated.sel(layer="softmax")).all()
    assert (
        actual.fraction_saturated.sel(layer="attention[1]")[-1] > actual.fraction_saturated.sel(layer="attention[1]")[0]
    )
    assert actual.stride.values.tolist() == [0, 10, 5, 85]


def conv():
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(48, 4), nn.ReLU())


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_saturation__is_lazy_and_any_scheduler_gives_the_same_bits(scheduler, no_compute):
    run, probe = recorded(conv), torch.randn(30, 1, 6, 6)
    with no_compute():
        result = saturation(lambda **asked: trajlab.replay(run, model=conv, probe=probe, **asked))
    expected = result.compute(scheduler="sync")
    with dask.config.set(array_optimize=fuse_scans):
        xr.testing.assert_identical(result.compute(scheduler=scheduler), expected)
    assert expected.attrs["probe_sha256"]


@pytest.mark.parametrize("chunks", [{}, {"step": 1}, {"step": 3, "unit": 2}, {"sample": 4, "y": 1}])
def test_saturation__any_chunking_gives_the_same_bits(rng, chunks):
    arrays = {
        "conv": layer(rng.standard_normal((7, 10, 5, 3, 4)), "sample", "unit", "y", "x", module_class="Tanh"),
        "softmax": layer(rng.random((7, 10, 3)), module_class="Softmax", softmax_axis=0),
    }
    cut = {n: a.chunk({dim: size for dim, size in chunks.items() if dim in a.dims}) for n, a in arrays.items()}
    xr.testing.assert_identical(of(cut, softmax=0.8), of(arrays, softmax=0.8))


def test_saturation__layers_are_those_that_are_named():
    run, probe = recorded(conv), torch.randn(5, 1, 6, 6)

    def replay(**asked):
        return trajlab.replay(run, model=conv, probe=probe, **asked)

    assert saturation(replay, layers=["1"]).layer.values.tolist() == ["1"]
    with pytest.raises(BadSetting, match="module"):
        saturation(replay, layers=["relu9"])


@pytest.mark.parametrize(
    "settings", [{"tanh": 0.0}, {"sigmoid": 0.5}, {"softmax": 1.5}, {"tolerance": -1.0}, {"min_share": 0.0}]
)
def test_saturation__settings_out_of_range_are_told(settings):
    with pytest.raises(BadSetting, match="min_share="):
        of({"a": layer(np.zeros((2, 3, 4)), module_class="ReLU")}, **settings)


def test_saturation__a_network_without_activations_is_told():
    with pytest.raises(MissingData, match="layers"):
        of({})


def test_saturation__is_drawn_and_told():
    up = np.linspace(0, 1, 5)[:, None, None] * np.ones((5, 6, 4))
    one = of({"act": layer(up, module_class="Tanh")}).assign_attrs(stage="saturation")
    runs = xr.concat([one, one], dim="run").assign_coords(run=["a", "b"])
    for result in (one, runs):
        for panel in panels(result):
            from matplotlib.figure import Figure

            panel.draw(Figure(figsize=panel.size))
        assert [panel.key for panel in panels(result)] == ["fraction_saturated", "layers", "units", "saturated"]
        texts = [sentences.text for sentences in findings(result)]
        assert any("saturated most at the end" in text and "0 % below and 100 % above" in text for text in texts)
        assert any("from 0 % to 100 %" in text for text in texts)
        assert figure(result, variable="saturated").get_ylabel() == "unit"
