import typing
from pathlib import Path

import typer

from trajlab.running import options
from trajlab.running.options import RunOptions


def test_run_options__are_picked_from_all_options_of_a_command():
    picked = RunOptions.of({"run": Path("a"), "trust": True, "unit_axis": ["-1"], "overwrite": True, "out": Path("b")})
    assert picked == RunOptions(Path("a"), trust=True, unit_axis=["-1"])
    assert picked.parent is None and picked.key is None


def test_options__each_says_what_it_does_and_takes_urls():
    annotated = {
        name: typing.get_args(value)
        for name, value in vars(options).items()
        if typing.get_origin(value) is typing.Annotated
    }
    assert set(annotated) >= {name.title().replace("_", "") for name in RunOptions._fields}
    for name, (kind, *infos) in annotated.items():
        (info,) = infos
        assert info.help and info.help.endswith("."), name
        assert (info.parser is not None) == (Path in (kind, *typing.get_args(kind))), name
        assert isinstance(info, typer.models.ParameterInfo)
