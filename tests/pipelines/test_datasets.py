import pickle
import struct

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from pipelines import datasets
from pipelines.datasets.colored_digits import BACKGROUNDS
from pipelines.datasets.images import NORMALIZATION, Split, fit
from trajlab.errors import BadSetting, MissingData


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Make every attempt to download fail."""

    def refuse(*args, **kwargs):
        raise AssertionError("tried to download")

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", refuse)
    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", refuse)


def write_idx(folder, rng):
    folder.mkdir(parents=True)
    arrays = {}
    for part, count in (("train", 6), ("t10k", 4)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">BBBBIII", 0, 0, 8, 3, count, 28, 28) + images.tobytes()
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, count) + labels.tobytes())
        arrays[part] = images
    return arrays


def write_images(folder, counts, rng, size=32):
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def test_digits__need_no_file_and_are_split_the_same_way_each_time(tmp_path):
    images = datasets.load("digits", tmp_path / "nowhere")
    again = datasets.load("digits")

    assert images.train.inputs.shape == (1438, 1, 8, 8)
    assert images.test.inputs.shape == (359, 1, 8, 8)
    assert images.train.inputs.dtype == torch.float32
    assert images.train.targets.dtype == torch.int64
    assert torch.equal(images.test.inputs, again.test.inputs)
    assert not torch.equal(images.test.targets, datasets.load("digits", seed=1).test.targets)


def test_spirals__are_two_arms_one_half_a_turn_from_the_other():
    images = datasets.load("spirals")
    points, targets = images.train

    assert points.shape == (800, 2) and points.dtype == torch.float32
    assert torch.equal(points, datasets.load("spirals").train.inputs)
    radius = points.norm(dim=1)
    back = torch.atan2(points[:, 1], points[:, 0]) - 2.5 * torch.pi * radius - torch.pi * targets
    outside = radius > 0.3
    assert (torch.cos(back)[outside] > 0.5).all()  # of the other arm it is -1


def test_digits__are_normalized_and_all_there():
    images = datasets.load("digits")
    inputs = torch.cat([images.train.inputs, images.test.inputs])
    pixels = inputs * 0.3761 + 0.3053

    assert inputs.mean().item() == pytest.approx(0, abs=1e-3)
    assert inputs.std().item() == pytest.approx(1, abs=1e-3)
    assert sorted(set((pixels * 16).round().int().flatten().tolist())) == list(range(17))
    assert torch.cat([images.train.targets, images.test.targets]).bincount().sum() == 1797


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files__are_read_and_normalized(name, folder, tmp_path, rng):
    arrays = write_idx(tmp_path / folder / "raw", rng)
    images = datasets.load(name, tmp_path)
    (mean,), (std,) = NORMALIZATION[name]

    assert images.test.inputs.shape == (4, 1, 28, 28)
    assert images.train.targets.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(images.train.inputs[:, 0], (arrays["train"] / 255 - mean) / std, atol=1e-5)


def test_cifar10__reads_torchvisions_batches_where_they_are(tmp_path, rng, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [3, 8]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *args: True)
    write_images(tmp_path / "cifar10" / "train", {"frog": 1}, rng)
    images = datasets.load("cifar10", tmp_path)
    mean, std = (np.reshape(values, (3, 1, 1)) for values in NORMALIZATION["cifar10"])

    assert images.train.inputs.shape == (10, 3, 32, 32)
    assert images.test.targets.tolist() == [3, 8]
    np.testing.assert_allclose(images.test.inputs, (pixels.reshape(2, 3, 32, 32) / 255 - mean) / std, rtol=0, atol=1e-5)


def test_cifar10__reads_folders_of_images_where_there_are_no_batches(tmp_path, rng):
    write_images(tmp_path / "cifar10" / "train", {"cat": 3, "dog": 2}, rng)
    write_images(tmp_path / "cifar10" / "test", {"cat": 1, "dog": 1}, rng)
    images = datasets.load("cifar10", tmp_path)
    first = np.asarray(Image.open(tmp_path / "cifar10" / "train" / "cat" / "0.png")) / 255
    position = np.abs(images.train.inputs[:, 0].numpy() - (first[..., 0] - 0.4914) / 0.2470).max((1, 2)).argmin()

    assert images.test.inputs.shape == (2, 3, 32, 32)
    np.testing.assert_allclose(images.train.inputs[position, 0], (first[..., 0] - 0.4914) / 0.2470, atol=1e-5)
    assert images.train.targets[position] == 0
    assert sorted(images.train.targets.tolist()) == [0, 0, 0, 1, 1]


def test_folder__comes_in_an_order_in_which_the_first_images_are_a_fair_sample(tmp_path, rng):
    write_images(tmp_path / "shapes" / "train", {"circle": 20, "square": 20}, rng, size=8)
    write_images(tmp_path / "shapes" / "test", {"circle": 2, "square": 2}, rng, size=8)
    targets = datasets.load("shapes", tmp_path).train.targets

    assert 5 <= targets[:20].sum() <= 15
    assert torch.equal(targets, datasets.load("shapes", tmp_path).train.targets)


def test_folder__without_a_split_is_split_by_the_seed(tmp_path, rng):
    write_images(tmp_path / "shapes", {"circle": 6, "square": 4}, rng, size=16)
    first, again, other = (datasets.load("shapes", tmp_path, seed=seed) for seed in (0, 0, 3))

    assert first.train.inputs.shape == (8, 3, 16, 16)
    assert len(first.test.targets) == 2
    assert torch.equal(first.train.inputs, again.train.inputs)
    assert not torch.equal(first.train.inputs, other.train.inputs)


def test_folder__of_sizes_that_differ_needs_image_size(tmp_path, rng):
    write_images(tmp_path / "mixed", {"small": 2}, rng, size=8)
    write_images(tmp_path / "mixed", {"large": 3}, rng, size=12)

    with pytest.raises(BadSetting, match="differ in size; set image_size"):
        datasets.load("mixed", tmp_path)
    assert datasets.load("mixed", tmp_path, image_size=10).train.inputs.shape == (4, 3, 10, 10)


def test_fit__repeats_grey_images_in_a_dark_frame():
    dark = -0.5
    images = Split(torch.full((2, 1, 3, 4), dark), torch.tensor([1, 0]))
    images.inputs[:, :, 1, 2] = 1.0
    fitted = fit(images, [3, 6, 6])

    assert fitted.inputs.shape == (2, 3, 6, 6) and fitted.targets.tolist() == [1, 0]
    assert (fitted.inputs[:, :, 2, 3] == 1).all()
    assert (fitted.inputs == dark).sum() == 2 * 3 * 35
    assert torch.equal(fit(fitted, [3, 6, 6]).inputs, fitted.inputs)


def test_fit__frames_each_channel_in_its_darkest_value():
    images = Split(torch.tensor([[[[1.0, 2.0]], [[-3.0, 5.0]]]]), torch.tensor([0]))
    fitted = fit(images, [2, 3, 4]).inputs[0]

    assert fitted[0].tolist() == [[1, 1, 1, 1], [1, 1, 2, 1], [1, 1, 1, 1]]
    assert fitted[1].tolist() == [[-3, -3, -3, -3], [-3, -3, 5, -3], [-3, -3, -3, -3]]


def test_fit__resizes_by_name():
    images = Split(torch.tensor([[[[0.0, 4.0]]]]), torch.tensor([0]))

    assert fit(images, [3, 1, 4], "resize").inputs[0].tolist() == [[[0, 1, 3, 4]]] * 3
    with pytest.raises(BadSetting, match="image_fit='stretch'.*pad or resize"):
        fit(images, [1, 2, 2], "stretch")


@pytest.mark.parametrize("shape", [[2, 32, 32], [3, 31, 40], [3, 40, 31], [3072]])
def test_fit__never_cuts_or_drops(shape):
    colored = Split(torch.zeros(1, 3, 32, 32), torch.zeros(1))
    with pytest.raises(BadSetting, match=r"shape \[3, 32, 32\]"):
        fit(colored, shape)


def test_root__is_the_argument_then_the_environment(tmp_path, rng, monkeypatch):
    write_images(tmp_path / "a" / "shapes", {"circle": 5}, rng, size=8)
    write_images(tmp_path / "b" / "shapes", {"circle": 5}, rng, size=16)
    monkeypatch.setenv("TRAJLAB_DATA", str(tmp_path / "a"))

    assert datasets.load("shapes").train.inputs.shape[-1] == 8
    assert datasets.load("shapes", tmp_path / "b").train.inputs.shape[-1] == 16


def test_root__is_data_datasets_otherwise(monkeypatch):
    monkeypatch.delenv("TRAJLAB_DATA", raising=False)

    with pytest.raises(MissingData, match="data/datasets/MNIST/raw"):
        datasets.load("mnist")


def colored(tmp_path, alignment, **more):
    with pytest.warns(UserWarning, match="mnist in .* scikit-learn"):
        return datasets.load("colored_digits", tmp_path, alignment=alignment, **more)


def grounds(split):
    """Tell which of the colors is in the corner of each image."""
    corner = split.inputs[:, :, 0, 0] * 0.25 + 0.5
    apart = (corner[:, None] - torch.tensor(BACKGROUNDS)).abs().amax(2)
    assert apart.amin(1).max() < 0.07  # a few digits of scikit-learn reach the corner
    return apart.argmin(1)


def test_colored_digits__have_the_color_of_their_class_in_the_share_that_is_asked_for(tmp_path):
    actual = {alignment: colored(tmp_path, alignment) for alignment in (0.0, 0.7, 1.0)}
    own = {share: grounds(images.train) == images.train.targets for share, images in actual.items()}

    assert not own[0.0].any() and own[1.0].all()
    assert own[0.7].float().mean().item() == pytest.approx(0.7, abs=0.04)
    others = (grounds(actual[0.0].train) - actual[0.0].train.targets) % 10
    assert others.bincount(minlength=10)[1:].min() > 100
    assert torch.equal(actual[0.7].train.targets, datasets.load("digits").train.targets)


def test_colored_digits__test_images_have_any_color_and_are_the_same_at_each_alignment(tmp_path):
    first, other = colored(tmp_path, 0.5), colored(tmp_path, 1.0)

    assert all(torch.equal(a, b) for a, b in zip(first.test, other.test, strict=True))
    assert (grounds(first.test) == first.test.targets).float().mean().item() == pytest.approx(0.1, abs=0.05)
    assert grounds(first.test).bincount(minlength=10).min() > 20


def test_colored_digits__are_white_where_the_masks_say(tmp_path):
    images = colored(tmp_path, 1.0, most=50)
    pixels = images.test.inputs * 0.25 + 0.5

    assert images.train.inputs.shape == images.test.inputs.shape == (50, 3, 28, 28)
    assert images.masks.shape == (50, 28, 28) and set(images.masks.unique().tolist()) == {0.0, 1.0}
    assert 0.05 < images.masks.mean().item() < 0.4
    least = pixels.amin(1)  # each ground lacks one of red, green and blue
    assert least[images.masks == 1].min() > 0.5 >= least[images.masks == 0].max()


def test_colored_digits__are_those_of_mnist_where_it_is(tmp_path, rng):
    arrays = write_idx(tmp_path / "MNIST" / "raw", rng)
    images = datasets.load("colored_digits", tmp_path, alignment=1.0)

    ground = torch.tensor(BACKGROUNDS)[images.train.targets][..., None, None]
    ink = torch.tensor(arrays["train"])[:, None] / 255
    torch.testing.assert_close(images.train.inputs * 0.25 + 0.5, ground + ink * (1 - ground), rtol=0, atol=1e-5)
    assert torch.equal(images.masks, (torch.tensor(arrays["t10k"]) > 127).float())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("digits", {"alignment": 0.5}, "digits .*alignment; .* none"),
        ("colored_digits", {"aligned": 0.5}, " aligned; .* alignment, most"),
        ("colored_digits", {"alignment": 50}, "alignment=50.* share"),
    ],
)
def test_arguments__that_do_not_fit_are_refused(name, arguments, message):
    with pytest.raises(BadSetting, match=message):
        datasets.load(name, **arguments)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_download__happens_only_when_asked(name, tmp_path):
    with pytest.raises(MissingData, match=f"{name} in .*TRAJLAB_DATA.*--download"):
        datasets.load(name, tmp_path)
    with pytest.raises(AssertionError, match="tried to download"):
        datasets.load(name, tmp_path, download=True)


def test_unknown_name__says_what_there_is(tmp_path):
    with pytest.raises(MissingData, match="data set 'minst': .*mnist, fashion_mnist, cifar10.* .*minst is no folder"):
        datasets.load("minst", tmp_path)


def test_folder__without_classes_says_so(tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(MissingData, match="images in class folders of .*empty"):
        datasets.load("empty", tmp_path)


@pytest.mark.parametrize(
    ("name", "shape"), [("mnist", (1, 28, 28)), ("fashion_mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))]
)
def test_real_data__is_normalized_by_its_constants(name, shape):
    try:
        images = datasets.load(name)
    except MissingData as error:
        pytest.skip(str(error))

    assert images.train.inputs.shape[1:] == shape
    assert images.train.inputs.mean().item() == pytest.approx(0, abs=0.02)
    assert images.train.inputs.std().item() == pytest.approx(1, abs=0.02)
    assert set(images.test.targets.tolist()) == set(range(10))


def test_scaling__replaces_the_constants_of_the_data_set(tmp_path, rng):
    arrays = write_idx(tmp_path / "MNIST" / "raw", rng)
    write_images(tmp_path / "cifar10" / "train", {"cat": 3, "dog": 2}, rng)
    write_images(tmp_path / "cifar10" / "test", {"cat": 1, "dog": 1}, rng)
    pixels = arrays["train"] / 255

    for scaling, expected in (("unit", pixels), ("centered", 2 * pixels - 1)):
        images = datasets.load("mnist", tmp_path, scaling=scaling).train.inputs
        np.testing.assert_allclose(images[:, 0], expected, atol=1e-6)
    colored = datasets.load("mnist", tmp_path, scaling="imagenet").train.inputs
    np.testing.assert_allclose(colored[:, 1], (pixels - 0.456) / 0.224, atol=1e-5)
    folder = datasets.load("cifar10", tmp_path, scaling="unit").train.inputs
    assert 0 <= folder.min() < 0.1 and 0.9 < folder.max() <= 1
    for name, scaling in (("mnist", "half"), ("digits", "unit")):
        with pytest.raises(BadSetting, match=f"scaling='{scaling}'"):
            datasets.load(name, tmp_path, scaling=scaling)
