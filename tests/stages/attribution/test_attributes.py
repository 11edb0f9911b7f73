import numpy as np
import pytest
import torch
import xarray as xr

from tests.stages.attribution.test_attribution import Net, attribution, run_of, snapshots
from trajlab.errors import BadSetting
from trajlab.stages.attribution.attributes import GROUPS, between_attributes
from trajlab.statistics.attention_iou import attention_iou, scaled

NONE = {"ascent_steps": 0, "epsilons": ()}


def batch(targets):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(len(targets), 2, 8, 8, generator=generator), targets


def grad_cam(net, inputs, output):
    """Return Grad-CAM of an output at conv2, by a plain loop of torch."""
    maps = net.conv2(net.pool(net.relu(net.conv1(inputs))))
    values = net.fc(net.relu(net.norm(maps.clone())).mean((2, 3)))
    slope = torch.autograd.grad(values[:, output].sum(), maps)[0]
    return (slope.mean((2, 3), keepdim=True) * maps).sum(1).clamp(min=0).detach().double().numpy()


def test_attributes__maps_of_two_outputs_overlap_as_in_a_plain_loop():
    inputs, targets = batch(torch.tensor([0, 1, 2, 0, 1, 2]))
    run = run_of(snapshots(Net), Net, (inputs, targets))
    result = attribution(run, attributes=[0, 2], samples=range(6), **NONE).compute()
    net = snapshots(Net)[2]
    first, second = (scaled(grad_cam(net, inputs, output), (-2, -1)) for output in (0, 2))
    expected = attention_iou(first, second, (-2, -1))

    assert result["attribute_iou"].dims == ("step", "sample", "attribute", "attribute_other")
    overlap = result["attribute_iou"].isel(step=2)
    np.testing.assert_allclose(overlap.sel(attribute=0, attribute_other=2), expected, rtol=1e-4)
    np.testing.assert_allclose(overlap.sel(attribute=2, attribute_other=0), expected, rtol=1e-4)
    with_itself = overlap.sel(attribute=0, attribute_other=0)
    np.testing.assert_allclose(with_itself[~np.isnan(first).any((1, 2))], 1, rtol=1e-6)
    groups = result["attribute_iou_group"].isel(step=2).sel(attribute=0, attribute_other=2)
    assert groups.sel(group="first").item() == pytest.approx(np.nanmean(expected[[0, 3]]), rel=1e-4)
    assert groups.sel(group="second").item() == pytest.approx(np.nanmean(expected[[2, 5]]), rel=1e-4)
    assert groups.sel(group="neither").item() == pytest.approx(np.nanmean(expected[[1, 4]]), rel=1e-4)
    assert groups.sel(group="same").item() == pytest.approx(np.nanmean(expected[[1, 4]]), rel=1e-4)
    assert groups.sel(group="different").item() == pytest.approx(np.nanmean(expected[[0, 2, 3, 5]]), rel=1e-4)
    assert np.isnan(groups.sel(group="both"))


def test_attributes__of_targets_that_name_several_are_grouped_by_all_of_them():
    targets = torch.tensor([[1.0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]])
    run = run_of(snapshots(Net, steps=1), Net, batch(targets))
    result = attribution(run, attributes=[0, 2], samples=range(4), **NONE).compute().isel(step=0)
    overlap = result["attribute_iou"].sel(attribute=0, attribute_other=2).values
    groups = result["attribute_iou_group"].sel(attribute=0, attribute_other=2)
    members = dict(zip(GROUPS, ([0], [1], [2], [3], [0, 3], [1, 2]), strict=True))

    for group, samples in members.items():
        assert groups.sel(group=group).item() == pytest.approx(np.nanmean(overlap[samples]))


def test_attributes__whose_map_is_constant_are_excluded_from_means():
    varied, flat = np.array([[0.0, 1.0], [0.0, 2.0]]), np.ones((2, 2))
    maps = {0: xr.DataArray([[varied, flat]]), 1: xr.DataArray([[varied, varied]])}
    variables, _ = between_attributes(maps, np.array([[1, 1], [1, 1]]))

    np.testing.assert_allclose(variables["attribute_iou"].values[0, :, 0, 1], [1, np.nan])
    assert variables["attribute_iou_group"].values[0, 0, 1, GROUPS.index("both")] == pytest.approx(1)


@pytest.mark.parametrize(("attributes", "layer"), [([0], ""), ([0, 3], ""), ([1, 1], ""), ([0, 1], "fc")])
def test_attributes__that_have_no_two_maps_are_named(attributes, layer):
    run = run_of(snapshots(Net, steps=1), Net, batch(torch.tensor([0, 1, 2])))
    with pytest.raises(BadSetting, match="attributes"):
        attribution(run, attributes=attributes, layer=layer, **NONE).compute()
