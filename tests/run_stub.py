"""The types of `trajlab.run` for each stage, for editors and type checkers; ``make stub`` writes them.

One overload a stage, with the settings that the stage's function has. Python itself never reads the stub.
"""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from trajlab.running import run as run_module
from trajlab.running.settings import settings_of
from trajlab.stages import stage, stage_names

STUB = Path(run_module.__file__).with_name("typed_run.pyi")

HEAD = '''\
"""`trajlab.run` with the settings of each stage; written by ``make stub``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

import xarray as xr

from trajlab.running.run import Stage
from trajlab.runs.trajectory import Trajectory

'''


SEVERAL = "list[str] | list[Stage] | tuple[Stage, ...]"


def stub() -> str:
    """Return the text of the stub."""
    shared = _shared_options()
    overloads = [_overload(f'Literal["{name}"]', [*shared, *_settings(stage(name))]) for name in stage_names()]
    overloads += [
        _overload("str", shared),  # a name that is known at run time only: settings come as **settings
        _overload("Callable[..., xr.Dataset | xr.DataArray]", [*shared, "**settings: Any"]),
        # no Sequence, which a string is, too: wrong settings of a stage would be those of several
        _overload(SEVERAL, [*shared, "**settings: Mapping[str, Any]"], returns="xr.DataTree"),
    ]
    return HEAD + "".join(overloads)


def _shared_options() -> list[str]:
    """Return the options that every stage takes, as the source of `trajlab.run` has them."""
    tree = ast.parse(Path(run_module.__file__).read_text(encoding="utf-8"))
    *_, function = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run"]
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return [f"{ast.unparse(option)} = {ast.unparse(default)}" for option, default in pairs if default]


def _settings(function: Callable) -> Iterator[str]:
    for name, parameter in settings_of(function).items():
        yield f"{name}: {_annotation(parameter.annotation)} = {_literal(parameter.default)}"


def _annotation(annotation: type) -> str:
    if get_origin(annotation) is None:
        return annotation.__name__
    (item,) = get_args(annotation)
    return f"{get_origin(annotation).__name__}[{_annotation(item)}]"


def _literal(value: Any) -> str:
    """Return the source of a value, with strings in double quotes."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple):
        items = [_literal(item) for item in value]
        return f"({', '.join(items)}{',' * (len(items) == 1)})"
    return repr(value)


def _overload(first: str, options: list[str], *, returns: str = "xr.Dataset") -> str:
    parameters = [f"stage_or_name: {first}", "trajectory: Trajectory | Mapping[str, Trajectory]", "*", *options]
    lines = "".join(f"    {parameter},\n" for parameter in parameters)
    return f"@overload\ndef run(\n{lines}) -> {returns}: ...\n"


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
