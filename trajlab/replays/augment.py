"""Augmentation: seeded variations of images of a probe, as a probe of its own."""

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.probe_kinds import derived_hash
from trajlab.replays.probe_samples import first_of_each_class
from trajlab.scan.graph import delayed

CLASSES = 3
"""Samples that are chosen if none are named, each of another class as long as there is one."""

EXAMPLES = 8
"""Images that are kept of each sample to look at: itself, and its first copies."""

ROTATION, SHIFT, SCALE, SHEAR = 15.0, 0.1, 0.1, 10.0
"""Affine maps, of every copy: degrees, share of each side, share of the size, and degrees, each way."""

JITTER, SATURATION, HUE = 0.4, 0.2, 0.1
"""Color jitter: brightness and contrast by a factor of 1 ± 0.4, in color also saturation by 1 ± 0.2, hue by ± 0.1."""

BLUR = 0.1, 2.0, 28
"""Standard deviation of the Gaussian blur in pixels, from and to; at most such a part of the larger side."""

NOISE = 0.1
"""Largest standard deviation of the Gaussian noise, as a share of the range of values."""

CHANCES = {"jitter": 0.8, "blur": 0.5, "solarize": 0.2, "noise": 0.5}
"""How often a copy gets each."""


def augmented(probe: xr.Dataset, samples: Sequence[int], copies: int, seed: int) -> xr.Dataset:
    """Return variations of some images of a probe, as a probe with its `sha256` in attrs; lazily.

    Parameters
    ----------
    probe
        The probe of a run; its inputs are images, (sample, channel, y, x), of at most four channels.
    samples
        Positions of the images; by default the first ones of the first classes, of three at most.
    copies
        Variations of each: an affine map, often color jitter, a Gaussian blur or noise, and seldom solarized. Values
        are brought to the range from 0 to 1 for this, each channel from its least to its largest value in the probe,
        and back. Places that an affine map uncovers are 0.
    seed
        Seed; a copy depends on it, the position of the image and the number of the copy only.

    Returns
    -------
    Dataset
        `inputs`, the copies of each image one after the other; `position` (original) of the images in the probe, and
        `examples` (original, example, channel, y, x), each image and its first copies with values from 0 to 1.

    Raises
    ------
    MissingData
        There is no probe with samples.
    BadSetting
        The inputs are no images, a sample is not there, or there are fewer than two copies.

    References
    ----------
    Augmentations and how often they are applied: Grill et al. 2020, BYOL, arXiv:2006.07733, appendix B.
    """
    if "inputs" not in probe or not probe["inputs"].shape[0]:
        raise MissingData("cannot augment images: the run has no probe; record with Recorder(probe=inputs)")
    inputs, count = probe["inputs"], probe["inputs"].shape[0]
    if inputs.ndim != 4 or inputs.dtype.kind != "f" or not 1 <= inputs.shape[1] <= 4:
        raise BadSetting(
            f"cannot augment inputs of type {inputs.dtype} and shape {list(inputs.shape)}: choose images, (sample, "
            "channel, y, x) of floats with 1 to 4 channels"
        )
    if copies < 2:
        raise BadSetting(f"cannot augment with copies={copies}: correlations need at least 2")
    if seed < 0:
        raise BadSetting(f"cannot augment with seed={seed}: choose 0 or more")
    missing = [sample for sample in samples if not 0 <= sample < count]
    if missing or len(set(samples)) != len(samples):
        raise BadSetting(
            f"cannot augment samples {', '.join(map(str, samples))}: the probe has 0 to {count - 1}; name each once"
        )
    originals = len(samples) or min(CLASSES, count)
    targets = probe["targets"].data if "targets" in probe and probe["targets"].ndim == 1 else None
    positions = delayed(_chosen)(tuple(samples), _whole(targets), originals)
    made = delayed(_augmented)(_whole(inputs.data), positions, copies, seed)
    shown = min(EXAMPLES, copies + 1), *inputs.shape[1:]
    examples = delayed(_examples)(_whole(inputs.data), positions, made, shown[0])
    recipe = f"augmented {list(samples)} {copies} {seed}"
    return xr.Dataset(
        {
            "inputs": (inputs.dims, da.from_delayed(made, (originals * copies, *inputs.shape[1:]), inputs.dtype)),
            "position": ("original", da.from_delayed(positions, (originals,), np.int64)),
            "examples": (
                ("original", "example", "channel", "y", "x"),
                da.from_delayed(examples, (originals, *shown), np.float32),
            ),
        },
        attrs={"sha256": derived_hash(probe, recipe), "kind": "augmented", "seed": seed},
    )


def _whole(values: Any) -> Any:
    return values.rechunk(-1) if isinstance(values, da.Array) else values


def _chosen(samples: tuple[int, ...], targets: np.ndarray | None, count: int) -> np.ndarray:
    """Return the positions of samples: those named, else the first of each class in the order of the probe."""
    if samples:
        return np.array(samples, np.int64)
    return np.arange(count) if targets is None else first_of_each_class(targets, count, by_position=True)


def _range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least finite value of each channel, and how far the largest is from it, (channel, 1, 1)."""
    finite = np.isfinite(values)
    low = np.min(values, (0, 2, 3), where=finite, initial=np.inf)
    high = np.max(values, (0, 2, 3), where=finite, initial=-np.inf)
    low = np.where(np.isfinite(low), low, 0.0)
    width = np.where(high > low, high - low, 1.0)
    return low[:, None, None].astype(np.float64), width[:, None, None].astype(np.float64)


def _augmented(values: np.ndarray, positions: np.ndarray, copies: int, seed: int) -> np.ndarray:
    """Return the copies of each image, (sample, channel, y, x).

    All that is drawn comes from a generator of each copy's own: nothing depends on torch's, or on the thread.
    """
    low, width = _range(values)
    made = np.empty((len(positions) * copies, *values.shape[1:]), values.dtype)
    for row, position in enumerate(positions.tolist()):
        image = ((values[position] - low) / width).astype(np.float32)
        for copy in range(copies):
            varied = _varied(image, np.random.default_rng([seed, position, copy]))
            made[row * copies + copy] = varied * width + low
    return made


def _examples(values: np.ndarray, positions: np.ndarray, made: np.ndarray, count: int) -> np.ndarray:
    low, width = _range(values)
    copies = made.reshape(len(positions), -1, *values.shape[1:])[:, : count - 1]
    return ((np.concatenate([values[positions][:, None], copies], axis=1) - low) / width).astype(np.float32)


def _varied(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Vary an image with values from 0 to 1, (channel, y, x)."""
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    channels, height, width = image.shape
    gets = {name: random.random() < chance for name, chance in CHANCES.items()}

    def about(center: float, reach: float) -> float:
        return float(random.uniform(center - reach, center + reach))

    varied = functional.affine(
        torch.from_numpy(image),
        angle=about(0.0, ROTATION),
        translate=[about(0.0, SHIFT) * width, about(0.0, SHIFT) * height],
        scale=about(1.0, SCALE),
        shear=[about(0.0, SHEAR), about(0.0, SHEAR)],
        interpolation=InterpolationMode.BILINEAR,
    )
    brightness, contrast, saturation, hue = (
        about(*each) for each in ((1, JITTER), (1, JITTER), (1, SATURATION), (0, HUE))
    )
    if gets["jitter"]:
        color = channels == 3
        varied = varied if color else varied[:, None]
        varied = functional.adjust_contrast(functional.adjust_brightness(varied, brightness), contrast)
        varied = functional.adjust_hue(functional.adjust_saturation(varied, saturation), hue) if color else varied[:, 0]
    least, most, part = BLUR
    sigma = float(random.uniform(least, max(least, min(most, max(height, width) / part))))
    size = 2 * int(np.ceil(2 * sigma)) + 1
    if gets["blur"] and min(height, width) > size // 2:
        varied = functional.gaussian_blur(varied, [size, size], [sigma, sigma])
    if gets["solarize"]:
        varied = functional.solarize(varied, 0.5)
    pixels = varied.numpy().astype(np.float64)
    if gets["noise"]:
        pixels = np.clip(pixels + random.uniform(0.0, NOISE) * random.standard_normal(pixels.shape), 0.0, 1.0)
    return pixels
