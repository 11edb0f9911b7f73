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

COLORS = 250


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
                few = picture.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
                few.save(Path(__file__).with_name(f"explore-{name}.png"), optimize=True)
                page.close()
            browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main(sys.argv[1], "".join(sys.argv[2:]))
