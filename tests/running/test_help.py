import inspect

import pytest

from trajlab.running import help
from trajlab.running.help import description, panel, parameter_help, result_help, stages_by_panel, summary
from trajlab.stages import stage as trajlab_stage
from trajlab.stages import stage_names, stage_source


def stage(weight, *, rtol=0.0, atol=0.0, steps=()):
    """Measure [something].

    More about it.

    Parameters
    ----------
    weight
        One parameter.
    rtol, atol
        Tolerances, of
        two lines.
    steps
        Which [steps].

    Returns
    -------
    norm, total_norm : (parameter, step)
        The norm [of it].
    kind : (parameter)
        Kind.
    """


def test_parameter_help__joins_lines_and_gives_each_name_its_text():
    helps = parameter_help(stage)
    assert helps == {
        "weight": "One parameter.", "rtol": "Tolerances, of two lines.", "atol": "Tolerances, of two lines.",
        "steps": "Which [steps].",
    }  # fmt: skip


def test_description__is_what_stands_before_the_sections():
    assert description(stage) == "Measure \\[something].\n\nMore about it."


def test_result_help__lists_variables_with_their_dims():
    text = result_help(stage)
    assert "[bold]norm, total_norm (parameter, step)[/]: The norm \\[of it]." in text and text.count("[bold]") == 2


@pytest.mark.parametrize("function", [lambda weight: 0, print])
def test_help__of_a_function_without_such_sections_is_empty(function):
    assert parameter_help(function) == {} and result_help(function) == ""


def test_stages_by_panel__lists_each_stage_once_in_the_order_of_the_panels():
    stages = stages_by_panel()
    assert sorted(name for name, _, _ in stages) == sorted(stage_names())
    panels = list(dict.fromkeys(title for _, _, title in stages))
    assert len(panels) == len({title for _, _, title in stages}) and panels[0] == "What went wrong"
    assert all(text and text == summary(name) and title == panel(name) for name, text, title in stages)


@pytest.mark.parametrize("name", stage_names())
def test_summary__is_read_without_parsing_the_whole_file(name, monkeypatch):
    parsed, parse = [], help._function
    monkeypatch.setattr(help, "_function", lambda source, name: parsed.append(source) or parse(source, name))
    help._definition.cache_clear()
    assert summary(name) == inspect.getdoc(trajlab_stage(name)).partition("\n")[0]
    assert len(parsed) == 1 and parsed[0] != stage_source(name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def own(gradient):\n    'Sum.'\n", ("Sum.", "From gradients")),
        ('def own(weight):\n    return 1\n\n\ndef other():\n    """Other."""\n', ("", "From weights")),
        ('def own(weight, *, text=\'"""\'):\n    """Sum."""\n', ("Sum.", "From weights")),
        ("def own(weight:\n", ("", "Other stages")),
        ("", ("", "Other stages")),
    ],
)
def test_summary__of_a_stage_written_otherwise(source, expected, monkeypatch, tmp_path):
    (tmp_path / "own.py").write_text(source)
    monkeypatch.setattr(help, "stage_source", lambda name: tmp_path / f"{name}.py")
    help._definition.cache_clear()
    assert (summary("own"), panel("own")) == expected
    help._definition.cache_clear()
