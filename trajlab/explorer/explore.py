"""The page from Python and notebooks."""

import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trajlab.errors import MissingData
from trajlab.explorer.result_collection import ResultCollection
from trajlab.explorer.source import Shown, source_of
from trajlab.runs.disk.paths import as_path
from trajlab.stages import stage


def explore(
    shown: Shown | Iterable[Shown],
    *,
    results: str | Path | None = None,
    stages: Sequence[str] | None = None,
    step_pattern: str | None = None,
    series: str | None = None,
    key: str | None = None,
    parameters: str | None = None,
    model: Any = None,
    probe: Any = None,
    device: str | None = None,
    trust: bool = False,
    follow: bool = False,
    theme: str = "light",
) -> Any:
    """Show runs and results as a page of views with one selection; missing results are computed in the background.

    The computation begins when a browser displays the page.

    Parameters
    ----------
    shown
        A path of a run, of checkpoints, of a folder of runs or of results; a trajectory; a result; several of these by
        name, or a list of them.
    results
        Folder that keeps computed results; by default one in the user's cache, which the page names.
    stages
        Stages to compute; by default all that the runs can serve.
    step_pattern, series, key, parameters, trust
        As in `trajlab.open`.
    model, probe, device
        As in `trajlab.run`.
    follow
        Show runs that are still being written as they grow; see `ResultCollection`.
    theme
        Colors: light or dark.

    Returns
    -------
    A Panel object, which a notebook shows and `panel serve` can serve (`.servable()`).

    Raises
    ------
    MissingData
        A path holds neither runs nor results, or Panel is not installed.
    BadSetting
        There is no such stage.
    """
    require_panel()
    import panel as pn

    from trajlab.explorer.arrays import Arrays
    from trajlab.explorer.displayed import Displayed
    from trajlab.explorer.page import TICK, Page

    if "ipykernel" in sys.modules:
        pn.extension("tabulator", inline=True)
    collection = collection_of(
        shown, results=results, stages=stages, model=model, probe=probe, device=device, follow=follow, trust=trust,
        step_pattern=step_pattern, series=series, key=key, parameters=parameters,
    )  # fmt: skip
    page = Page(collection, Arrays(), theme=theme)
    page.dark.visible = False  # colors are part of the address, and a notebook has none

    def begin() -> None:
        collection.start()
        pn.state.add_periodic_callback(page.tick, TICK)

    mark = Displayed(width=0, height=0, margin=0)
    mark.call(begin)
    page.layout.append(mark)
    return page.layout


def collection_of(
    shown: Shown | Iterable[Shown],
    *,
    results: str | Path | None = None,
    stages: Sequence[str] | None = None,
    follow: bool = False,
    model: Any = None,
    probe: Any = None,
    device: str | None = None,
    **reading: Any,
) -> ResultCollection:
    """Open what is to be shown; see `explore`, and for `reading` `source_of`.

    Nothing is computed before `ResultCollection.start`.
    """
    for name in stages or ():
        stage(name)  # raises if there is none
    settings = {"model": model, "probe": probe, "device": device}
    return ResultCollection(
        source_of(shown, **reading),
        None if results is None else as_path(results),
        stages=stages,
        settings={name: value for name, value in settings.items() if value is not None},
        follow=follow,
    )


def require_panel() -> None:
    """Raise MissingData if the packages of the page are not installed."""
    missing = [name for name in ("panel", "bokeh") if find_spec(name) is None]
    if missing:
        raise MissingData(
            f"cannot explore: {' and '.join(missing)} are not installed; run `pip install 'trajlab[explore]'`"
        )
