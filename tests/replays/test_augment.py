from concurrent.futures import ThreadPoolExecutor

import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays import augment as augmenting
from trajlab.replays.augment import augmented


def probe(inputs, targets=None):
    variables = {"inputs": (("sample", *(f"d{i}" for i in range(np.ndim(inputs) - 1))), inputs)}
    variables |= {} if targets is None else {"targets": ("sample", targets)}
    return xr.Dataset(variables, attrs={"sha256": "abc"})


@pytest.fixture
def images(rng):
    """Normalised images of three channels of different ranges."""
    return (rng.random((5, 3, 12, 10)) * [[[2]], [[4]], [[8]]] - 1).astype(np.float32)


def test_augmented__copies_stay_within_the_range_of_each_channel_and_differ(images):
    made = augmented(probe(images), [1, 4], 20, 0).compute()
    assert made.inputs.shape == (40, 3, 12, 10) and made.inputs.dtype == np.float32
    low, high = images.min((0, 2, 3)), images.max((0, 2, 3))
    assert (made.inputs.min(("sample", "d1", "d2")) >= low - 1e-5).all()
    assert (made.inputs.max(("sample", "d1", "d2")) <= high + 1e-5).all()
    flat = made.inputs.values.reshape(40, -1)
    assert len(np.unique(flat, axis=0)) == 40
    assert made.position.values.tolist() == [1, 4]


def test_augmented__examples_are_the_image_and_its_first_copies(images):
    made = augmented(probe(images), [2], 3, 0).compute()
    low, width = images.min((0, 2, 3))[:, None, None], np.ptp(images, axis=(0, 2, 3))[:, None, None]
    expected = (np.concatenate([images[2:3], made.inputs.values]) - low) / width
    np.testing.assert_allclose(made.examples[0], expected, atol=1e-6)


def test_augmented__is_fixed_by_the_seed_and_touches_no_other_generator(images):
    one = augmented(probe(images), [0, 3], 6, 7)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = one.compute()
    assert (torch.get_rng_state() == before).all()
    torch.manual_seed(6)
    with ThreadPoolExecutor(4) as pool:
        for other in pool.map(lambda _: augmented(probe(images), [0, 3], 6, 7).compute(scheduler="sync"), range(4)):
            xr.testing.assert_identical(other, first)
    another = augmented(probe(images), [0, 3], 6, 8)
    assert (another.inputs.compute() != first.inputs).any()
    assert another.attrs["sha256"] != first.attrs["sha256"] != ""


def test_augmented__a_copy_depends_on_its_image_and_number_only(images):
    few = augmented(probe(images), [3], 4, 0).compute()
    many = augmented(probe(images), [1, 3], 9, 0).compute()
    np.testing.assert_array_equal(few.inputs, many.inputs[9:13])
    assert few.attrs["sha256"] != many.attrs["sha256"]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [([4, 4, 0, 4, 9], [0, 2, 4]), ([1, 1, 1, 0, 1], [0, 1, 3]), ([1, 0, 3, 2, 5], [0, 1, 2]), (None, [0, 1, 2])],
)
def test_augmented__chooses_the_first_of_the_first_classes(images, targets, expected):
    assert augmented(probe(images, targets), (), 2, 0).position.values.tolist() == expected


def test_augmented__of_fewer_samples_than_classes_takes_all(images):
    made = augmented(probe(images[:2], [0, 1]), (), 2, 0)
    assert made.position.values.tolist() == [0, 1] and made.inputs.shape[0] == 4


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_augmented__of_other_than_three_channels_has_no_colors(rng, channels):
    """Brightness and contrast of a channel do not depend on the other ones."""
    images = rng.random((2, channels, 6, 6)).astype(np.float32)
    images[:, :, 0, 0], images[:, :, 0, 1] = 0, 1
    made = augmented(probe(images), [0], 8, 0).compute().inputs
    assert np.isfinite(made).all()
    if channels > 1:
        swapped = augmented(probe(images[:, ::-1]), [0], 8, 0)
        plain = {"noise": 0.0, "jitter": 1.0, "blur": 1.0, "solarize": 0.5}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(augmenting, "CHANCES", plain)
            one, other = (
                augmented(each, [0], 8, 0).compute().inputs for each in (probe(images), probe(images[:, ::-1]))
            )
        np.testing.assert_allclose(other, one[:, ::-1], atol=1e-6)
        assert swapped.inputs.shape == (8, channels, 6, 6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (40, 3)])
def test_augmented__of_small_and_narrow_images(rng, shape):
    images = rng.random((2, 3, *shape)).astype(np.float64)
    made = augmented(probe(images), [0], 10, 0).compute()
    assert made.inputs.dtype == np.float64 and np.isfinite(made.inputs).all()


def test_augmented__of_a_constant_channel_and_broken_pixels(rng):
    images = rng.random((2, 1, 6, 6)).astype(np.float32)
    images[0] = 3.0
    assert np.isfinite(augmented(probe(images[:1]), [0], 4, 0).compute().inputs).all()
    images[1, 0, 2, 2] = np.nan
    assert np.isfinite(augmented(probe(images), [0], 4, 0).compute().inputs).all()


def test_augmented__is_lazy(images, no_compute):
    with no_compute():
        augmented(probe(da.from_array(images, chunks=(2, 1, 5, 5)), da.zeros(5, dtype=int)), (), 3, 0)


def test_augmented__chunks_do_not_matter(images):
    expected = augmented(probe(images, [0, 1, 1, 2, 2]), (), 3, 0).compute()
    cut = probe(da.from_array(images, chunks=(2, 1, 5, 5)), da.from_array([0, 1, 1, 2, 2], chunks=2))
    xr.testing.assert_identical(augmented(cut, (), 3, 0).compute(), expected)


@pytest.mark.parametrize(
    "inputs",
    [
        np.zeros((4, 7), int),
        np.zeros((4, 7)),
        np.zeros((4, 7, 8)),
        np.zeros((4, 28, 28, 1)),
        np.zeros((4, 1, 6, 6), int),
    ],
)
def test_augmented__of_what_is_no_image_says_so(inputs):
    with pytest.raises(BadSetting, match="images"):
        augmented(probe(inputs), (), 3, 0)


def test_augmented__says_what_it_lacks(images):
    for samples in ([5], [-1], [1, 1]):
        with pytest.raises(BadSetting, match="0 to 4"):
            augmented(probe(images), samples, 3, 0)
    with pytest.raises(BadSetting, match="copies=1"):
        augmented(probe(images), (), 1, 0)
    with pytest.raises(BadSetting, match="seed=-1"):
        augmented(probe(images), (), 3, -1)
    with pytest.raises(MissingData, match="no probe"):
        augmented(xr.Dataset(), (), 3, 0)
