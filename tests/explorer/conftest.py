"""A study on disk, its page, and a browser that looks at it."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.schema import STORE_FILE

HOSTILE = "<img src=x onerror=console.error(1)>"
"""A name that would run as code, and so complain, if a page did not escape it."""

FIND = """(title) => {
  if (window.Bokeh?.documents == null || window.Bokeh?.index == null) return null
  for (const document of Bokeh.documents) for (const model of document.all_models ?? document._all_models.values())
    if (model.type == 'Figure' && String(model.title?.text?.text ?? model.title?.text).includes(title)) {
      const view = Bokeh.index.find_one(model)
      if (view != null && view.el.getBoundingClientRect().width > 0) return view
    }
  return null
}"""
"""Return the view of a figure on the screen; null while there is none, and while a page loads and has no Bokeh yet."""

POINT = f"""([title, x, y]) => {{
  const view = ({FIND})(title)
  if (view == null) return null
  const box = view.el.getBoundingClientRect()
  const point = [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)]
  const rests = point.every(Number.isFinite) && String(point) == window.trajlabPoint
  window.trajlabPoint = String(point)
  return rests ? point : null
}}"""
"""Return where a point of a figure is on the screen, once two looks in a row find it at the same place."""


LONG = "the_encoder_of_a_company.stage_number_{}.residual_attention_block.projection_of_queries_and_keys.weight"
"""A name that is much wider than a phone."""


def run_of(seed: int, lr: float, steps: int = 12) -> trajlab.Trajectory:
    """Blocks whose weights grow by `lr` a step, and a layer with a hostile name."""
    random = np.random.default_rng(seed)
    names = [f"layers.{i}.{role}" for i in range(3) for role in ("up.weight", "down.weight")] + [f"{HOSTILE}.weight"]
    growth = (1 + lr * np.arange(steps))[:, None, None]
    weights = {name: random.standard_normal((1, 6, 5)) * growth for name in names}
    at = 10 * np.arange(steps)
    metrics = {"loss": ("step", np.linspace(1, lr, steps)), "accuracy": ("step", np.linspace(0, 1, steps))}
    run = trajlab.from_arrays(
        {name: values.astype(np.float32) for name, values in weights.items()}, steps=at,
        metrics=xr.Dataset(metrics, {"step": at}),
    )  # fmt: skip
    run.facts["describe"] = {"lr": lr, "note": HOSTILE, "seed": seed}
    return run


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Return a folder with three packed runs."""
    folder = tmp_path_factory.mktemp("study")
    for seed, lr in enumerate((0.01, 0.1, 1.0)):
        trajlab.pack(run_of(seed, lr), folder / f"run-{seed}.zarr")
    return folder


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """Return a function that starts the page on paths and returns its address; all are stopped at the end."""
    pytest.importorskip("panel", reason="the page needs trajlab[explore]")
    processes = []
    cache = tmp_path_factory.mktemp("cache")

    def start(*arguments: object) -> str:
        command = [sys.executable, "-m", "trajlab", "explore", "--no-browser", *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | {"XDG_CACHE_HOME": str(cache)}
        )
        processes.append(process)
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), "the page did not start; its error is above"
        return address

    yield start
    for process in processes:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="session")
def address(serve, study, tmp_path_factory):
    """Return the address of the page of the study, whose results are all there: none redraws a view under a click."""
    results, stages = tmp_path_factory.mktemp("results"), ("drift", "distribution", "spectrum", "alerts")
    address = serve(study, "--stages", ",".join(stages), "--results", results)
    for _ in range(3000):
        if all((results / f"{name}.zarr" / STORE_FILE).exists() for name in stages):
            return address
        time.sleep(0.1)
    pytest.fail("the results of the study were not computed in five minutes")


class Looking:
    """A page in a browser.

    Attributes
    ----------
    page
        Playwright's page.
    complaints
        Errors and warnings of its console, errors of its scripts, and requests to other hosts.
    """

    def __init__(self, context):
        self.page = context.new_page()
        self.page.set_default_timeout(240_000)
        self.complaints = []
        self.page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None,
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._check(request.url))

    def _check(self, url):
        if not url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.complaints.append(f"request to {url}")

    def open(self, address, state=""):
        self.page.goto(f"{address}&theme=light{state}")

    def see(self, title):
        """Wait until a figure shows this title."""
        self.page.wait_for_function(f"(title) => ({FIND})(title) != null", arg=title)

    def point(self, title, x, y):
        """Return where a point of a figure is on the screen."""
        return self.page.wait_for_function(POINT, arg=[title, x, y]).json_value()

    def click(self, title, x, y):
        self.page.mouse.click(*self.point(title, x, y))

    def drag(self, title, first, last, y):
        self.page.mouse.move(*self.point(title, first, y))
        self.page.mouse.down()
        self.page.mouse.move(*self.point(title, (first + last) / 2, y))
        self.page.mouse.move(*self.point(title, last, y))
        self.page.mouse.up()

    def tab(self, name):
        self.page.locator(".bk-tab", has_text=name).click()

    def address_holds(self, text):
        self.page.wait_for_function("(text) => decodeURIComponent(window.location.search).includes(text)", arg=text)

    def reads(self, text):
        self.page.get_by_text(text, exact=False).first.wait_for()


@pytest.fixture
def looking(browser):
    """Return a page in a browser; it must not complain."""
    shown = Looking(browser)
    yield shown
    shown.page.close()
    assert shown.complaints == []


@pytest.fixture
def drawn(tmp_path):
    """Return a function that computes the results of a path and draws the page without a browser."""
    pytest.importorskip("panel", reason="the page needs trajlab[explore]")
    from trajlab.explorer.arrays import Arrays
    from trajlab.explorer.explore import collection_of
    from trajlab.explorer.page import Page

    def draw(path, *, stages=(), **state):
        collection = collection_of(path, results=tmp_path / "computed", stages=stages)
        collection.start()
        collection.wait()
        page = Page(collection, Arrays())
        page.selection.param.update(**state)
        return page

    return draw
