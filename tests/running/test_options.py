import typing
from pathlib import Path

import typer
from typer.testing import CliRunner

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


def test_reading_options__stand_where_the_command_takes_reading():
    calls = []

    @options.with_reading_options
    def command(run: options.Run, *, tensors: bool = True, reading: options.Reading, follow: bool = False) -> None:
        """Do it."""
        calls.append((run, tensors, reading, follow))

    app = typer.Typer()
    app.command()(command)
    names = [parameter.name for parameter in typer.main.get_command(app).params]
    assert [name for name in names if "completion" not in name] == [
        "run", "tensors", "step_pattern", "series", "key", "parameters", "follow",
    ]  # fmt: skip
    done = CliRunner().invoke(app, ["a", "--series", "net_G", "--no-tensors"])
    assert done.exit_code == 0, done.output
    reading = {"step_pattern": None, "series": "net_G", "key": None, "parameters": None}
    assert calls == [(Path("a"), False, reading, False)]
