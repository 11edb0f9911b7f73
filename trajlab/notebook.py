"""Jupyter extension, ``%load_ext trajlab.notebook``: progress bars, and results with their findings and a figure.

A result is a plain Dataset of xarray, and `.compute()` is dask's: how a notebook shows them is changed only where it is
asked for, and ``%unload_ext trajlab.notebook`` changes it back.
"""

from functools import cache
from typing import Any

import xarray as xr
from dask.callbacks import Callback

from trajlab.errors import MissingData
from trajlab.reports.result_html import result_html, tree_html

DELAY = 0.5
"""Seconds after which a computation that still runs gets a bar."""

FORMATS = {xr.Dataset: result_html, xr.DataTree: tree_html}
"""What writes an object as HTML."""


def load_ipython_extension(shell: Any) -> None:
    """Show results as HTML with findings and a figure, and a bar while anything is computed.

    Raises
    ------
    MissingData
        tqdm is not installed.
    """
    _bar().register()
    for kind, write in FORMATS.items():
        shell.display_formatter.formatters["text/html"].for_type(kind, write)


def unload_ipython_extension(shell: Any) -> None:
    """Show results as xarray does, and no bars."""
    _bar().unregister()
    for kind in FORMATS:
        shell.display_formatter.formatters["text/html"].pop(kind)


@cache
def _bar() -> Callback:
    """Return the bar: one of ipywidgets where these are installed, else text."""
    try:
        from tqdm.dask import TqdmCallback
    except ImportError as error:
        raise MissingData("cannot show progress: tqdm is not installed; install trajlab[notebook]") from error
    return TqdmCallback(desc="computing", unit=" tasks", delay=DELAY, leave=False)
