import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.probe_batches import as_probe
from trajlab.replays.probe_kinds import MADE, kinds_of, probe_of


@pytest.fixture
def images(rng):
    """Images of two channels, one in [5, 6) and one around −3, with labels, and as many training images."""
    values = np.stack([5 + rng.random((40, 8, 9)), rng.normal(-3, 2, (40, 8, 9))], axis=1).astype(np.float32)
    labels = rng.integers(3, size=40)
    return as_probe({"valid": (values, labels), "train": (values[:30] + 1, labels[:30]), "far": values[:2] * 9})


@pytest.fixture
def tokens(rng):
    return as_probe(rng.integers(3, 50, size=(20, 12)))


def test_kinds_of__are_the_recorded_and_the_made(images, tokens):
    assert kinds_of(images) == ["valid", "train", "far", *MADE]
    assert kinds_of(tokens) == ["valid", "uniform", "shuffled"]


def test_probe_of__recorded_kinds_are_as_recorded(images):
    valid, train, far = (probe_of(images, kind) for kind in ("valid", "train", "far"))

    xr.testing.assert_equal(valid, images[["inputs", "targets"]])
    np.testing.assert_array_equal(train.inputs, images.train_inputs)
    np.testing.assert_array_equal(train.targets, images.train_targets)
    assert train.inputs.dims == ("sample", "train_inputs_0", "train_inputs_1", "train_inputs_2")
    assert train.targets.dims == ("sample",) and list(far) == ["inputs"]
    assert [one.attrs["kind"] for one in (valid, train, far)] == ["valid", "train", "far"]
    assert valid.attrs["sha256"] == images.attrs["sha256"]
    assert train.attrs["sha256"] == images.attrs["train_sha256"]


def test_probe_of__uniform_fills_the_range_of_each_channel(images):
    made, real = (probe_of(images, kind).inputs.values for kind in ("uniform", "valid"))

    assert made.shape == real.shape and made.dtype == real.dtype
    for channel in range(2):
        low, high = real[:, channel].min(), real[:, channel].max()
        own = made[:, channel]
        assert low <= own.min() and own.max() <= high
        np.testing.assert_allclose(np.quantile(own, [0.25, 0.5, 0.75]), np.linspace(low, high, 5)[1:4], atol=0.2)
    assert "targets" not in probe_of(images, "uniform")


def test_probe_of__gaussian_has_mean_and_spread_of_each_channel(images):
    made, real = (probe_of(images, kind).inputs.values for kind in ("gaussian", "valid"))

    assert made.shape == real.shape and made.dtype == real.dtype
    for channel in range(2):
        assert made[:, channel].mean() == pytest.approx(real[:, channel].mean(), abs=0.1)
        assert made[:, channel].std() == pytest.approx(real[:, channel].std(), rel=0.05)
    centered = (made - made.mean((0, 2, 3), keepdims=True)).reshape(80, -1)
    neighbors = np.corrcoef(centered[:, :-1].ravel(), centered[:, 1:].ravel())[0, 1]
    assert abs(neighbors) < 0.05, "pixels are independent"


def test_probe_of__shuffled_puts_all_examples_into_one_other_order(images):
    actual = probe_of(images, "shuffled")
    made, real = (one.reshape(40, 2, -1) for one in (actual.inputs.values, images.inputs.values))

    order = [int(np.flatnonzero(real[0, 0] == value)[0]) for value in made[0, 0]]
    assert sorted(order) == list(range(72)) and order != list(range(72))
    np.testing.assert_array_equal(made, real[..., order])
    np.testing.assert_array_equal(actual.targets, images.targets)


def test_probe_of__inputs_without_channels_count_as_one(rng):
    values = np.concatenate([rng.random((500, 1)), 10 + rng.random((500, 1))], axis=1)
    uniform = probe_of(as_probe(values), "uniform").inputs.values
    assert uniform[:, 0].max() > 10 and uniform[:, 1].min() < 1
    shuffled = probe_of(as_probe(values), "shuffled", seed=3).inputs.values
    np.testing.assert_array_equal(np.sort(shuffled, axis=1), np.sort(values, axis=1))


def test_probe_of__tokens_stay_tokens(tokens):
    made = probe_of(tokens, "uniform").inputs.values
    real = tokens.inputs.values

    assert made.dtype == real.dtype and made.shape == real.shape
    assert set(np.unique(made)) <= set(range(real.min(), real.max() + 1))
    assert len(np.unique(made)) > 40
    shuffled = probe_of(tokens, "shuffled").inputs.values
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(real))
    with pytest.raises(BadSetting, match="valid, uniform, shuffled.*integers"):
        probe_of(tokens, "gaussian")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("kind", MADE)
def test_probe_of__keeps_the_type(rng, kind, dtype):
    probe = xr.Dataset({"inputs": (("sample", "a", "b"), rng.random((5, 2, 3)).astype(dtype))})
    made = probe_of(probe, kind)
    assert made.inputs.dtype == made.inputs.values.dtype == dtype


@pytest.mark.parametrize("kind", MADE)
def test_probe_of__the_same_seed_gives_the_same_bits_and_hash(images, kind):
    first, again, other = (probe_of(images, kind, seed=seed) for seed in (0, 0, 1))

    xr.testing.assert_identical(first.compute(), again.compute())
    assert (first.inputs.values != other.inputs.values).any()
    assert first.attrs["sha256"] == again.attrs["sha256"] != other.attrs["sha256"]
    assert (first.attrs["kind"], first.attrs["seed"], other.attrs["seed"]) == (kind, 0, 1)


def test_probe_of__each_kind_has_a_hash_of_its_own(images):
    hashes = [probe_of(images, kind).attrs["sha256"] for kind in kinds_of(images)]
    assert all(hashes) and len(set(hashes)) == len(hashes)
    changed = as_probe((images.inputs.values + 1, images.targets.values))
    assert probe_of(changed, "uniform").attrs["sha256"] != probe_of(images, "uniform").attrs["sha256"]


def test_probe_of__what_is_made_of_a_probe_of_unknown_hash_has_none():
    assert probe_of(xr.Dataset({"inputs": (("sample", "x"), np.ones((3, 2)))}), "uniform").attrs["sha256"] == ""


@pytest.mark.parametrize("kind", ["valid", "train", *MADE])
def test_probe_of__is_lazy(images, kind, no_compute):
    lazy = images.chunk(sample=7, train_sample=7)
    with no_compute():
        made = probe_of(lazy, kind)
    assert isinstance(made.inputs.data, da.Array)
    np.testing.assert_array_equal(made.inputs, probe_of(images, kind).inputs)


@pytest.mark.parametrize("kind", MADE)
def test_probe_of__one_sample_is_enough(kind):
    made = probe_of(as_probe(torch.rand(1, 1, 4, 4)), kind).inputs.values
    assert made.shape == (1, 1, 4, 4) and np.isfinite(made).all()


def test_probe_of__what_is_not_there_is_told(images, tokens):
    with pytest.raises(BadSetting, match="'noise'.*valid, train, far, uniform"):
        probe_of(images, "noise")
    with pytest.raises(MissingData, match=r"valid, uniform, shuffled.*Recorder\(probe="):
        probe_of(tokens, "train")
