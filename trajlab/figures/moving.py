"""Figures that move, as files: each frame is drawn, reduced to colors, and written at once."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from rich.progress import track

from trajlab.errors import MissingData, TrajlabError
from trajlab.figures.inline import STYLE
from trajlab.figures.panel import Frames
from trajlab.statistics.shown_steps import evenly

MOST = 120
"""Frames at most; of more steps evenly spaced ones are drawn."""

DPI = 100
SECONDS, QUICKEST, SLOWEST, REST = 8.0, 0.06, 0.5, 1.5
"""How long all frames are shown, one at least and at most, and how much longer the last is."""

WHITE = 245
"""Colors of a palette whose red, green and blue are at least this are made white, or the ground would be off-white."""


def _pictures(frames: Frames) -> tuple[Iterator[Image.Image], list[int]]:
    """Return the frames one after the other, and for how many milliseconds each is shown."""
    shown = evenly(len(frames.steps), MOST)
    each = round(1000 * min(max(SECONDS / len(shown), QUICKEST), SLOWEST) / 10) * 10
    console = Console(stderr=True)
    bar = track(shown, "frames", console=console) if console.is_terminal else shown
    return (_picture(frames, i) for i in bar), [*[each] * (len(shown) - 1), each + round(1000 * REST)]


def _picture(frames: Frames, position: int) -> Image.Image:
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=frames.size, dpi=DPI, layout="constrained", facecolor="white")
        canvas = FigureCanvasAgg(figure)
        frames.draw(figure, position)
        canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    even = pixels[: len(pixels) // 2 * 2, : pixels.shape[1] // 2 * 2]  # as encoders of films need it
    return Image.fromarray(np.ascontiguousarray(even))


def _animation(frames: Frames, **settings: Any) -> bytes:
    drawn, durations = _pictures(frames)
    first, *rest = _in_colors(list(drawn))
    picture = BytesIO()
    first.save(picture, save_all=True, append_images=rest, duration=durations, loop=0, **settings)
    return picture.getvalue()


def _in_colors(pictures: list[Image.Image]) -> list[Image.Image]:
    """Reduce pictures to one palette of 256 colors, so that what does not move does not flicker."""
    width, height = pictures[0].size
    sample = evenly(len(pictures), 5)
    sheet = Image.new("RGB", (width, height * len(sample)))
    for row, position in enumerate(sample):
        sheet.paste(pictures[position], (0, row * height))
    palette = sheet.quantize(256, Image.Quantize.MEDIANCUT)
    colors = np.array(palette.getpalette()).reshape(-1, 3)
    colors[(colors >= WHITE).all(1)] = 255
    palette.putpalette(colors.ravel().tolist())
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]


def _film(frames: Frames) -> bytes:
    program = shutil.which("ffmpeg")
    if program is None:
        raise MissingData("cannot write an .mp4: ffmpeg is not installed; install it, or name a .gif.")
    drawn, durations = _pictures(frames)
    pictures = list(drawn)
    rest = [pictures[-1]] * round(durations[-1] / durations[0])
    with TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        command = [
            program, "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24",
            "-s", "{}x{}".format(*pictures[0].size), "-r", f"1000/{durations[0]}", "-i", "-", "-pix_fmt", "yuv420p",
            "-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", str(film),
        ]  # fmt: skip
        done = subprocess.run(
            command, input=b"".join(picture.tobytes() for picture in pictures + rest), capture_output=True
        )
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
            raise TrajlabError(f"cannot write an .mp4: ffmpeg says {message!r}; name a .gif.")
        return film.read_bytes()


WRITERS: dict[str, Callable[[Frames], bytes]] = {
    "gif": partial(_animation, format="GIF", optimize=False),
    "webp": partial(_animation, format="WEBP", lossless=True),
    "apng": partial(_animation, format="PNG"),
    "mp4": _film,
}
"""How frames become a moving picture, by the ending of its name; the same frames give the same bytes."""
