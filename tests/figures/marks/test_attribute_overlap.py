import numpy as np
import pytest
import torch

from tests.stages.attribution.test_attributes import NONE, batch
from tests.stages.attribution.test_attribution import Net, attribution, run_of, snapshots
from trajlab.figures import figure, panels
from trajlab.figures.marks.attribute_overlap import over_pairs


@pytest.fixture(scope="module")
def result():
    run = run_of(snapshots(Net), Net, batch(torch.tensor([0, 1, 2, 0, 1, 2])))
    return attribution({"a": run, "b": run}, attributes=[0, 1, 2], samples=range(6), **NONE).compute()


def test_over_pairs__is_the_mean_of_different_outputs(result):
    groups = result["attribute_iou_group"].sel(run="a").isel(step=-1).sel(group="different").values
    off = groups[~np.eye(3, dtype=bool)]

    mean = over_pairs(result.sel(run="a")).isel(step=-1)
    assert mean.sel(group="different labels").item() == pytest.approx(np.nanmean(off))
    without = result.sel(run="a").drop_vars("attribute_iou_group")
    assert over_pairs(without).dims == ("step",)


def test_figure__draws_groups_of_a_run_and_one_line_for_each_of_several(result):
    single = figure(result.sel(run="a"), variable="attribute_iou_group")
    several = figure(result, variable="attribute_iou")

    assert len(single.get_lines()) >= 2 and len(several.get_lines()) >= 2
    expected = over_pairs(result.sel(run="a")).sel(group="different labels").values
    assert any(np.allclose(line.get_ydata(), expected, equal_nan=True) for line in single.get_lines())
    assert figure(result.sel(run="a"), variable="attention_iou_prev_unscaled").get_lines()


def test_panels__show_the_overlap_of_outputs_where_there_is_one(result):
    bare = result.drop_vars(["attribute_iou", "attribute_iou_group"])
    keys = [[panel.key for panel in panels(data)] for data in (result, bare)]

    assert "attribute_iou" in keys[0] and "attribute_iou" not in keys[1]
