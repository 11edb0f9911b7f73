import dask.array as da
import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import panels
from trajlab.stages.filters import filters
from trajlab.statistics.prepare import prepare


def of(**arrays):
    return trajlab.from_arrays({name.replace("_", "."): array for name, array in arrays.items()})


def test_filters__are_the_weights_of_the_first_convolution(rng):
    conv = rng.standard_normal((4, 5, 3, 2, 2)).astype(np.float32)
    run = of(fc_weight=rng.random((4, 2, 3)), conv_weight=conv, conv_bias=rng.random((4, 5)), last_weight=conv)
    result = trajlab.run("filters", run).compute()
    assert result.attrs["parameter"] == "conv.weight"
    assert result.kernel.dims == ("step", "filter", "channel", "y", "x")
    np.testing.assert_array_equal(result.kernel, conv)
    assert result.limit == abs(conv).max()
    flat = conv.reshape(4, 5, -1).astype(float)
    np.testing.assert_allclose(result.norm, np.linalg.norm(flat, axis=-1))
    moved = np.linalg.norm(flat - flat[0], axis=-1) / np.linalg.norm(flat[0], axis=-1)
    np.testing.assert_allclose(result.relative, moved)


def test_filters__the_limit_is_that_of_the_steps_shown():
    conv = np.ones((3, 2, 1, 3, 3)) * np.array([1.0, 7.0, -2.0])[:, None, None, None, None]
    assert trajlab.run("filters", of(w=conv)).limit.compute() == 7
    assert trajlab.run("filters", of(w=conv), steps=[0, -1]).limit.compute() == 2


def test_filters__at_chosen_steps_and_of_a_chosen_layer(rng):
    conv = rng.random((101, 3, 2, 3, 3))
    run = trajlab.from_arrays({"a": conv, "b": conv[:, ::-1]}, steps=10 * np.arange(101))
    result = trajlab.run("filters", run, parameter="b", steps=[500, -1, 0], max_filters=2).compute()
    assert result.step.values.tolist() == [0, 500, 1000]
    np.testing.assert_array_equal(result.kernel, conv[[0, 50, 100], ::-1][:, :2])
    assert (result.sizes["filter"], result.attrs["filters"]) == (2, 3)
    evenly = trajlab.run("filters", run).step.values
    assert len(evenly) <= 60 and {0, 1000} <= set(evenly) and len(set(np.diff(evenly))) == 1


def test_filters__rows_of_a_matrix_are_images_if_the_probe_says_so(rng):
    weight = rng.random((3, 4, 24))
    run = of(w=weight)
    with pytest.raises(MissingData, match="convolution"):
        filters(run.weights)
    for shape in ((2, 3, 4), (4, 6)):
        probe = xr.Dataset({"inputs": (("sample", *"abc"[: len(shape)]), np.zeros((5, *shape)))})
        result = filters(run.weights, probe).compute()
        assert result.kernel.shape[2:] == ((1,) * (3 - len(shape)) + shape)
        np.testing.assert_array_equal(result.kernel.values.reshape(weight.shape), weight)


def test_filters__over_a_line_are_one_pixel_high(rng):
    line = rng.random((2, 4, 3, 7))
    result = trajlab.run("filters", of(conv_weight=line)).compute()
    np.testing.assert_array_equal(result.kernel[:, :, :, 0], line)


def test_filters__neighbors_of_smooth_filters_are_alike_and_those_of_noise_are_not(rng):
    conv = rng.standard_normal((4, 40, 30, 5, 5))
    conv[1] = conv[0] + 10.0
    conv[2] = rng.standard_normal((40, 30, 1, 1))
    conv[3] = (-1.0) ** np.add.outer(range(40), np.add.outer(range(30), np.add.outer(range(5), range(5))))
    result = trajlab.run("filters", of(w=conv)).compute()
    noise = conv[0] - conv[0].mean()
    pairs = [(noise[..., 1:], noise[..., :-1]), (noise[..., 1:, :], noise[..., :-1, :])]
    squares = sum((first**2 + other**2).sum() / 2 for first, other in pairs)
    expected = sum((one * other).sum() for one, other in pairs) / squares
    np.testing.assert_allclose(result.neighbor_correlation, [expected, expected, 1, -1])
    assert abs(expected) < 2 * result.neighbor_noise
    np.testing.assert_allclose(result.neighbor_noise, 1.96 / np.sqrt(40 * 30 * 40))


def test_filters__neighbors_are_alike_by_chance_as_often_as_ways_of_random_signs_make_them(rng):
    start = rng.standard_normal((6, 3, 5, 5)) + rng.standard_normal((6, 3, 1, 1)) / 2
    way = rng.standard_normal(start.shape) * rng.random((6, 1, 1, 1))
    way -= (way * start).sum() / (start**2).sum() * start
    cases = 1.2 * start + rng.choice([-1, 1], (4000, *start.shape)) * way
    result = trajlab.run("filters", of(w=np.stack([start, *cases])), max_steps=4001).compute()

    actual = result.neighbor_correlation.values
    limit = result.neighbor_chance.values
    assert limit[0] == pytest.approx(actual[0])
    assert 0.04 < np.mean(actual[1:] > limit[1:]) < 0.06


def test_filters__that_training_made_smooth_are_beyond_chance(rng):
    start = rng.standard_normal((20, 3, 5, 5))
    smooth = start + rng.standard_normal((20, 3, 1, 1)) / 4
    result = trajlab.run("filters", of(w=np.stack([start, smooth, 2 * start]))).compute()

    assert result.neighbor_correlation[1] > result.neighbor_chance[1] > result.neighbor_chance[0]
    np.testing.assert_allclose(result.neighbor_chance[2], result.neighbor_correlation[0])
    from_zero = trajlab.run("filters", of(w=np.stack([0 * start, start]))).compute()
    assert from_zero.neighbor_chance[1] == pytest.approx(1.645 / 1.96 * from_zero.neighbor_noise.item(), rel=0.1)


def test_filters__that_are_nan_or_equal_everywhere_have_no_correlation():
    conv = np.ones((2, 2, 1, 3, 3))
    conv[1] = np.nan
    assert np.isnan(trajlab.run("filters", of(w=conv)).neighbor_correlation).all()


def test_filters__of_one_weight_have_no_neighbors():
    result = trajlab.run("filters", of(w=np.ones((1, 4, 3, 1, 1)))).compute()
    assert np.isnan(result.neighbor_correlation).all() and np.isnan(result.neighbor_noise)


def test_filters__nan_and_inf_are_counted_and_left_out():
    conv = np.ones((3, 2, 1, 2, 2), np.float32)
    conv[1, 0, 0, 0] = [np.nan, -np.inf]
    conv[2, 1] = np.nan
    result = trajlab.run("filters", of(w=conv)).compute()
    assert result.nonfinite.values.tolist() == [0, 2, 4]
    assert result.limit == 1
    assert result.norm[1].values.tolist() == [np.sqrt(2), 2]
    assert result.relative[1].values.tolist() == [0, 0]
    assert np.isnan(result.norm[2, 1]) and np.isnan(result.relative[2, 1])


def test_filters__from_zero_the_relative_distance_is_infinite():
    conv = np.zeros((2, 2, 1, 1, 1))
    conv[1, 0] = 3
    result = trajlab.run("filters", of(w=conv)).compute()
    assert np.isinf(result.relative[1, 0]) and np.isnan(result.relative[1, 1])


def test_filters__keep_bfloat16_exactly(tmp_path):
    import torch
    from safetensors.torch import save_file

    kernels = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
    (tmp_path / "checkpoint-0").mkdir()
    save_file({"conv.weight": kernels}, tmp_path / "checkpoint-0" / "model.safetensors")
    result = trajlab.run("filters", trajlab.open(tmp_path)).compute()
    np.testing.assert_array_equal(result.kernel[0], kernels.float())


def test_filters__read_no_more_than_they_show():
    def chunk(block_info=None):
        at = block_info[None]["array-location"]
        if at[0][0] not in (0, 9):
            raise AssertionError("a step was read that is not shown")
        return np.ones([stop - start for start, stop in at])

    lazy = da.map_blocks(chunk, chunks=((1,) * 10, 4, 1, 3, 3), dtype=float, meta=np.empty((0,) * 5))
    assert trajlab.run("filters", of(w=lazy), steps=[0, -1]).compute().limit == 1


def test_filters__of_what_is_none(rng):
    run = of(conv_weight=rng.random((2, 3, 1, 2, 2)), fc_weight=rng.random((2, 3, 4)))
    with pytest.raises(BadSetting, match="'fc.bias': choose one of conv.weight, fc.weight"):
        trajlab.run("filters", run, parameter="fc.bias")
    with pytest.raises(BadSetting, match="max_filters=0"):
        trajlab.run("filters", run, max_filters=0)
    with pytest.raises(BadSetting, match="max_steps=0"):
        trajlab.run("filters", run, max_steps=0)
    with pytest.raises(MissingData, match="step 5 of conv.weight"):
        trajlab.run("filters", run, steps=[5])


def test_filters__over_a_volume_are_slices_one_below_the_other(rng):
    volume = rng.standard_normal((3, 4, 2, 3, 5, 6))
    result = trajlab.run("filters", of(conv_weight=volume)).compute()
    assert result.attrs["slices"] == 3
    np.testing.assert_array_equal(result.kernel, volume.reshape(3, 4, 2, 15, 6))
    flat = volume.reshape(3, 4, -1)
    np.testing.assert_allclose(result.relative[1:], np.linalg.norm(flat - flat[0], axis=-1)[1:] / result.norm.values[0])
    checkers = (-1.0) ** np.indices((5, 6)).sum(0) * (-1.0) ** np.arange(3)[:, None, None]
    within = trajlab.run("filters", of(w=np.tile(checkers, (2, 1, 1, 1, 1, 1)))).compute()
    np.testing.assert_allclose(within.neighbor_correlation, -1)  # slices that meet are no neighbors
    panels(prepare(result.assign_attrs(stage="filters")))


def test_filters__of_images_come_before_those_over_lines_and_embeddings(rng):
    run = of(
        pos=rng.random((2, 1, 9, 7)), line_weight=rng.random((2, 3, 4, 5)), conv_weight=rng.random((2, 3, 3, 2, 2))
    )
    assert trajlab.run("filters", run).attrs["parameter"] == "conv.weight"
    assert (
        trajlab.run("filters", of(pos=np.ones((2, 1, 9, 7)), b_weight=np.ones((2, 3, 4, 5)))).attrs["parameter"]
        == "b.weight"
    )
    assert trajlab.run("filters", run, parameter="line.weight").kernel.dims == ("step", "filter", "channel", "y", "x")


def test_filters__of_one_step_have_no_distance(rng):
    assert trajlab.run("filters", of(w=rng.random((1, 3, 2, 3, 3)))).relative.isnull().all()


def test_filters__of_a_matrix_that_is_named_show_the_whole_as_one_image(rng):
    values = rng.normal(size=(3, 4, 600)).astype(np.float32)
    run = trajlab.from_arrays({"fc.weight": values, "conv.weight": rng.normal(size=(3, 2, 1, 3, 3))})
    result = trajlab.run("filters", run, parameter="fc.weight").compute()
    np.testing.assert_array_equal(result.kernel[:, 0, 0], values[:, :, :512])
    assert dict(result.kernel.sizes) == {"step": 3, "filter": 1, "channel": 1, "y": 4, "x": 512}
    whole = values[:, :, :512].astype(float)
    expected = np.linalg.norm(whole - whole[0], axis=(1, 2)) / np.linalg.norm(whole[0])
    np.testing.assert_allclose(result.relative[:, 0], expected)
    assert result.attrs["matrix"] == [4, 600]
    with pytest.raises(BadSetting, match="filters of 'x': choose one of conv.weight, fc.weight"):
        trajlab.run("filters", run, parameter="x")
