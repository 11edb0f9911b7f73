"""Write the page of a folder of results, or of runs, whose stages are computed first."""

from pathlib import Path
from typing import Any

from trajlab.errors import BadSetting
from trajlab.reports.page import report
from trajlab.running.compute import computed, write
from trajlab.running.options import RunOptions
from trajlab.running.several import CHEAP, announce, lazy_results, named_stages
from trajlab.runs.disk.atomic import check_free
from trajlab.schema import RESULT_VERSION
from trajlab.stages import stage_names
from trajlab.statistics.read import holds_results

ALL = "all"
"""Value of `stages` for all stages."""


def write_report(
    options: RunOptions,
    out: Path | None,
    *,
    stages: str = "",
    results: Path | None = None,
    params: Path | None = None,
    workers: int | None = None,
    title: str | None = None,
    overwrite: bool = False,
    **page_options: Any,
) -> Path:
    """Write the page of a folder of results, or of runs whose stages are computed first, and return its path.

    Parameters
    ----------
    options
        Path of the results or runs, and how runs are read and replayed.
    out
        The page; by default <name of the folder>.html in the working directory.
    stages
        Names of stages to compute of runs, separated by commas, or `ALL`; by default `CHEAP`.
    results
        Folder to write computed results to; None writes none.
    params
        YAML file of settings.
    workers
        Number of threads; by default one per core.
    title
        Title of the page; of runs, by default the name of the folder.
    overwrite
        Whether existing files are replaced.
    page_options
        Further options of `trajlab.report`.

    Raises
    ------
    OutputExists
        The page or a result exists and must not be overwritten; nothing is computed.
    BadSetting
        Stages, or a folder for their results, are named, but the path holds results.
    MissingData
        The runs cannot serve a stage that is named.
    """
    path = options.run
    name = path.resolve().name.removesuffix(".zarr") or "report"
    page = Path(f"{name}.html") if out is None else out
    if not overwrite:
        check_free(page)
    shown: Any = path
    if path.is_dir() and not holds_results(path):
        named = [] if stages == ALL else named_stages(stages)
        chosen = stage_names() if stages == ALL else named or CHEAP
        lazy, skipped = lazy_results(chosen, options, params=params, required=bool(named))
        announce(lazy, skipped)
        stores = {} if results is None else {stage: results / f"{stage}.zarr" for stage in lazy}
        for store in stores.values():
            check_free(store, RESULT_VERSION if overwrite else None)
        shown = computed(lazy, title=f"report of {name}", workers=workers)
        if stores:
            write({store: shown[stage] for stage, store in stores.items()}, overwrite=overwrite)
        title = title or name
    elif stages or results:
        raise BadSetting(f"cannot compute stages of {path}: it holds results, not runs; name a run or a folder of runs")
    report(shown, page, title=title, overwrite=overwrite, **page_options)
    return page
