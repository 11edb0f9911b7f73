"""Take the screenshots of the README: ``python docs/images/screenshots.py RUNS [STATE]``.

RUNS is a folder of runs, STATE what follows the token in an address of the page, such as ``&row=fc1.weight&step=60``.

It needs Playwright and a Chromium: `chromium`, `chromium-browser` or `google-chrome` on the PATH.
"""

import io
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

STAGES = ("drift", "distribution", "spectrum", "alerts")

SIZE = {"width": 1240, "height": 800}

VIEWS = {
    "overview": ("light", ""),
    "layer": ("dark", "&view=Layer"),
    "moments": ("light", "&view=Two+moments"),
}
"""Colors and address of each picture."""

FREQUENT, OTHERS = 128, 128
"""Colors of a picture: the most frequent, and those that are farthest from the ones before, as of thin lines."""


def main(runs: str, state: str) -> None:
    """Serve the runs, and take the pictures."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as results, sync_playwright() as playwright:
        command = ["-m", "trajlab", "explore", runs, "--no-browser", "--results", results, "--stages", ",".join(STAGES)]
        server = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            while not all((Path(results) / f"{stage}.zarr" / "zarr.json").exists() for stage in STAGES):
                time.sleep(0.5)
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for name, (theme, query) in VIEWS.items():
                page = browser.new_page(viewport=SIZE, color_scheme=theme)
                page.goto(f"{address}&theme={theme}{query}{state}")
                page.wait_for_selector(".bk-Figure", state="visible")
                page.get_by_text("being compared").wait_for(state="hidden", timeout=300_000)
                page.wait_for_timeout(5000)
                picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                few_colors(picture).save(Path(__file__).with_name(f"explore-{name}.png"), optimize=True)
                page.close()
            browser.close()
        finally:
            server.terminate()
            server.wait()


def few_colors(picture: Image.Image) -> Image.Image:
    """Return a picture with a palette, in which grounds, lines and cells of heat maps keep their colors."""
    colors, where, counts = np.unique(
        np.asarray(picture).reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    palette = colors[np.argsort(-counts)[:FREQUENT]].astype(int)
    distance, nearest = np.full(len(colors), np.inf), np.zeros(len(colors), np.uint8)
    position = 0
    while position < min(FREQUENT + OTHERS, len(colors)):
        if position == len(palette):
            palette = np.vstack([palette, colors[distance.argmax()]])
        to_it = ((colors.astype(int) - palette[position]) ** 2).sum(-1)
        nearest[to_it < distance] = position
        distance = np.minimum(distance, to_it)
        position += 1
    few = Image.fromarray(nearest[where.reshape(-1)].reshape(picture.height, picture.width), "P")
    few.putpalette(palette.reshape(-1).tolist())
    return few


if __name__ == "__main__":
    main(sys.argv[1], "".join(sys.argv[2:]))
