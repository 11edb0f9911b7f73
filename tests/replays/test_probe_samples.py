import dask.array as da
import numpy as np
import pytest
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.probe_samples import first_of_each_class, masks_of, samples_of, select_samples


def probe(targets=None, count=6, lazy=False, **more):
    inputs = np.arange(count * 6.0).reshape(count, 1, 2, 3)
    arrays = {"inputs": (("sample", "channel", "y", "x"), da.from_array(inputs, chunks=2) if lazy else inputs)}
    if targets is not None:
        targets = np.asarray(targets)
        arrays["targets"] = (("sample", "unit")[: targets.ndim], targets)
    return xr.Dataset(arrays | more)


@pytest.mark.parametrize(
    ("targets", "samples", "most", "expected"),
    [
        ([7, 7, 1, 3, 1, 7], [], 4, [2, 3, 0, 1]),
        ([7, 7, 1, 3, 1, 7], [], 99, [2, 3, 0, 1, 4, 5]),
        ([7, 7, 1, 3, 1, 7], [5, 0], 1, [5, 0]),
        (None, [], 3, [0, 1, 2]),
        ([0.5] * 6, [], 2, [0, 1]),
        (np.eye(6, dtype=int), [], 2, [0, 1]),
    ],
)
def test_select_samples__takes_the_first_of_each_class(targets, samples, most, expected, no_compute):
    with no_compute():
        chosen = select_samples(probe(targets, lazy=True), samples, most)
        assert chosen.shape == (len(expected),)
    assert chosen.compute().tolist() == expected


@pytest.mark.parametrize(
    ("samples", "most", "count"),
    [([6], 1, 6), ([-1], 1, 6), ([], 0, 6), ([], 3, 0)],
    ids=["beyond", "-1", "none", "empty"],
)
def test_select_samples__says_how_many_there_are(samples, most, count):
    with pytest.raises(BadSetting, match=f"the probe has {count}"):
        select_samples(probe(count=count), samples, most)


def test_first_of_each_class__of_fewer_than_classes_prefers_what_was_asked():
    labels = np.array([9, 4, 9, 0, 4])
    assert first_of_each_class(labels, 1).tolist() == [3] and first_of_each_class(
        labels, 2, by_position=True
    ).tolist() == [0, 1]
    assert first_of_each_class(np.array([], int), 3).tolist() == []


@pytest.mark.parametrize("lazy", [False, True])
def test_samples_of__are_inputs_and_targets_at_the_positions(lazy):
    some = samples_of(probe([5, 6, 7, 8, 9, 10], lazy=lazy), da.from_array(np.array([4, 1])))
    assert some.targets.compute().values.tolist() == [9, 6]
    np.testing.assert_array_equal(some.inputs.compute(), probe().inputs[[4, 1]])
    assert "targets" not in samples_of(probe(), da.from_array(np.array([0])))


@pytest.mark.parametrize(("name", "shape"), [("mask", (6, 2, 3)), ("mask_inputs", (6, 1, 2, 3))])
def test_masks_of__have_no_channels(name, shape):
    masks = np.arange(36.0).reshape(shape)
    held = probe(**{name: (tuple("abcd")[: masks.ndim], masks)})
    actual = masks_of(held, ("channel", "y", "x"))
    np.testing.assert_array_equal(actual, masks.reshape(6, 2, 3))
    assert masks_of(probe(), ("channel", "y", "x")) is None


def test_masks_of__says_which_shape_is_needed():
    with pytest.raises(BadSetting, match=r"\[6, 3, 2\].*\[6, 2, 3\]"):
        masks_of(probe(mask=(("a", "b", "c"), np.zeros((6, 3, 2)))), ("channel", "y", "x"))
