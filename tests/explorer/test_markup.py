import trajlab
from tests.explorer.conftest import HOSTILE, run_of
from trajlab.explorer.markup import facts_table, note, table_of


def test_text_of_runs_is_escaped():
    html = facts_table(HOSTILE, run_of(0, 0.1)) + note(HOSTILE) + table_of("", [(HOSTILE, HOSTILE)], [HOSTILE])
    assert "<img" not in html and html.count("&lt;img src=x onerror=console.error(1)&gt;") >= 5


def test_facts_are_those_of_the_inventory(example):
    html = facts_table("example", example)
    for key, value in trajlab.runs.inventory.inventory(example).facts:
        assert f"<th>{key}</th>" in html and value.split("<")[0] in html


def test_no_text_is_no_note():
    assert note("") == ""
