"""The pages of the documentation that are made from docstrings, commands and settings."""

import re
from pathlib import Path

import pytest
import xarray as xr

import trajlab
import trajlab.record
from trajlab.running.settings import settings_of
from trajlab.stages import stage, stage_names

pytest.importorskip("sphinx")

DOCS = Path(__file__).parent.parent.parent / "docs"


def rows(page):
    """Return the rows of all tables, split at bars that are not escaped, without headers and rules."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]


def test_escaped__shows_text_as_it_is():
    from markdown_text import escaped, table

    assert escaped("|w_t| of `w_t`, see :meth:`step`") == r"\|w\_t\| of `w_t`, see `step`"
    assert escaped("``a * b`` <b>") == r"`a * b` \<b\>"
    assert escaped("a ` b_c") == r"a ` b\_c"
    assert table(("a", "b"), [("`x | y`", "two\n lines")]).splitlines()[2] == r"| `x \| y` | two lines |"


@pytest.mark.parametrize("name", stage_names())
def test_a_stage_has_a_page_with_all_its_settings_and_errors(name):
    from stage_pages import Example, page

    text = "\n".join(page(name, Example("", xr.Dataset())))

    for setting in settings_of(stage(name)):
        assert f"\n| `{setting}` | " in text
    assert "\n## Variables of the result" in text
    assert "\n## Errors" in text or "Raises" not in stage(name).__doc__
    assert not re.search(r"^-{3,}$", text, re.MULTILINE), "a heading of numpydoc was not understood"
    assert {len(row) for row in rows(text)} <= {2, 3, 4, 5}


def test_a_page_names_dims_units_and_definitions_of_a_result():
    from stage_pages import CODE, Example, page

    result = trajlab.run("drift", trajlab.example()).compute()
    text = "\n".join(page("drift", Example(CODE.format(stage="drift", study="digits"), result)))

    assert 'trajlab.run("drift", digits()).compute()' in text
    assert "| `relative` | step, parameter | 1 | relative distance from the start | \\|w\\_t − w\\_0\\|₂" in text
    assert "| `norm_se` | – | weight |" in text, "a variable that the example has not"
    assert "Variables named `total_…`" in text and "`stride` (step)" in text


def test_the_page_of_commands_has_every_command_and_option():
    import typer
    from command_pages import page

    from trajlab.cli import app

    text = "\n".join(page())
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="trajlab")
    for name in group.list_commands(context):
        assert f"(trajlab-{name})=" in text
        for parameter in group.resolve_command(context, [name])[1].params:
            for option in parameter.opts if parameter.param_type_name == "option" and parameter.name != "help" else ():
                assert f"`{option}`" in text, (name, option)
    assert text.count("`--step-pattern`") < len(stage_names()), "options that stages share stand once"


def test_each_experiment_has_a_page_with_claims_and_differences():
    from experiment_pages import experiments, index, page

    from pipelines.differences import ANOTHER, REPEATED, SMALLER

    overview = "\n".join(index())
    assert len(experiments()) >= 9
    for name in experiments():
        text = "\n".join(page(name))
        assert "](" in overview and f"({name}.md)" in overview
        assert re.search(rf"^### .*: ({ANOTHER}|{SMALLER}|{REPEATED})$", text, re.MULTILINE)
        assert f"({name}.png)" in text and "## Claims" in text
    verdicts = rows(overview[overview.index("| experiment | variants") :])[2:]
    assert {row[2].strip() for row in verdicts} <= {ANOTHER, SMALLER, REPEATED}


def test_results_of_an_experiment_are_shown_by_claim():
    from experiment_pages import results

    measured = {
        "learns": {"holds": "yes", "verdict": "repeated", "median": {"loss, SGD": 0.25, "|g|": 2.0}},
        "stays": {"holds": "no", "verdict": "another experiment", "median": {}},
    }
    text = "\n".join(results(measured, "all_images", {"learns": "Compare the loss."}))
    assert "## Results at `size: all_images`" in text
    assert "| Compare the loss. | yes | repeated |" in text and "| stays | no | another experiment |" in text
    assert "| Compare the loss. | loss, SGD | 0.25 |" in text and "|  | \\|g\\| | 2 |" in text
    assert "default size" in "\n".join(results(measured, "claims", {}))


def test_the_page_of_python_lists_every_public_name():
    listed = re.findall(r"^   ([\w.]+)$", (DOCS / "reference" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(listed) >= set(trajlab.__all__) | set(trajlab.record.__all__)
