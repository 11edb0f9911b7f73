"""Tables as CSV."""

from typing import Any

import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How texts begin that spreadsheets compute."""


def csv_text(table: pd.DataFrame) -> str:
    r"""Write a table as CSV; a text that a spreadsheet would compute, as a name in data may be, gets an apostrophe.

    >>> csv_text(pd.DataFrame({"=1+1": [-0.5], "layer": ["@x"]}))
    ",'=1+1,layer\n0,-0.5,'@x\n"
    """
    return table.rename(index=_as_text, columns=_as_text).map(_as_text).to_csv()


def _as_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
