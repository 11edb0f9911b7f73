from urllib.parse import quote

import pytest

pytest.importorskip("param", reason="the page needs trajlab[explore]")

from trajlab.explorer.selection import Selection, from_query, to_query  # noqa: E402

STATE = {
    "view": "Layer", "result": "drift", "variable": "relative", "at": {"tau": "|g| ≤ 10⁻⁵"}, "run": "a & b",
    "runs": ["a & b", "c"],
    "row": "x.<script>.weight", "step": 30, "before": 0, "window": (10, 50),
    "find": "*.bias", "opened": ["m.0"],
}  # fmt: skip


def test_a_state_survives_its_address():
    values, unreadable = from_query(to_query(Selection(**STATE)))
    assert unreadable == []
    assert {name: values[name] for name in STATE} == STATE


def test_the_default_needs_no_address():
    assert to_query(Selection()) == ""
    assert Selection(**from_query("")[0]).param.values() | {"name": ""} == Selection().param.values() | {"name": ""}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("step", "zebra"), ("step", "[1]"), ("step", "1.5"), ("view", "nowhere"),
        ("window", "[1]"),
        ("window", '["a", 2]'), ("window", "{}"), ("runs", "a"), ("runs", "[1]"), ("at", "[]"), ("opened", "{}"),
        ("way", "median"),
        ("window", "7"), ("step", "9" * 5000), ("before", "-" + "9" * 200), ("window", f"[0, {2**63}]"), ("back", "0"),
        ("opened", "[" * 5000), ("at", '{"a":' * 5000), ("step", str(2**63)),
    ],
)  # fmt: skip
def test_what_is_not_readable_is_named_and_replaced(field, text):
    values, unreadable = from_query(f"{field}={quote(text)}&run=a")
    assert unreadable == [field]
    assert values["run"] == "a"
    Selection(**values)


def test_the_token_is_no_state():
    assert from_query("?token=abc&theme=dark")[1] == []
