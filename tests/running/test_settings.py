from collections.abc import Sequence

import numpy as np
import pytest

from trajlab.errors import BadSetting
from trajlab.running.settings import check_settings, read_settings, settings_of


def stage(
    weight, *, window: int = 3, share: float = 0.5, kind: str = "l2", steps: Sequence[int] = (), on: bool = False
):
    """Do nothing."""


def test_settings_of__are_the_keyword_only_parameters():
    assert list(settings_of(stage)) == ["window", "share", "kind", "steps", "on"]


def test_check_settings__takes_types_of_numpy_as_those_of_python():
    values = {"window": np.int64(4), "share": np.float32(0.5), "steps": np.array([1, 2]), "on": np.bool_(True)}
    plain = check_settings(stage, values)
    assert plain == {"window": 4, "share": 0.5, "steps": [1, 2], "on": True}
    assert [type(value) for value in plain.values()] == [int, float, list, bool]
    assert check_settings(stage, {"share": 1}) == {"share": 1}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"windw": 1}, "stage has no setting windw; its settings are window, share, kind, steps, on"),
        ({"window": 2.5}, "stage needs a whole number for window; found 2.5"),
        ({"window": True}, "whole number for window; found True"),
        ({"share": "1e-7"}, r"a number for share; found '1e-7'; write an exponent as 1.0e-7"),
        ({"share": "big"}, "a number for share; found 'big'$"),
        ({"kind": 3}, "a string for kind; found 3"),
        ({"on": 1}, "true or false for on; found 1"),
        ({"steps": 5}, r"a list for steps; found 5, so write \[5\]"),
        ({"steps": "12"}, "a list for steps"),
        ({"steps": [1, "b"]}, "whole number for steps; found 'b'"),
    ],
)
def test_check_settings__names_the_setting_and_the_value(values, words):
    with pytest.raises(BadSetting, match=words):
        check_settings(stage, values)


def test_check_settings__of_what_is_no_stage():
    with pytest.raises(BadSetting, match="cannot run 3 as a stage"):
        check_settings(3, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("drift: {reference: 2}", {"reference": 2}),
        ("stages: {drift: {reference: 2}}\ndrift: {reference: 9}", {"reference": 2}),
        ("stages: {other: {}}\ndrift: {reference: 9}", {"reference": 9}),
        ("stages: [drift]\ndrift: {reference: 9}", {"reference": 9}),
        ("drift:", {}),
        ("other: {x: 1}", {}),
    ],
)
def test_read_settings__of_a_section_at_the_top_or_under_stages(tmp_path, text, expected):
    (tmp_path / "params.yaml").write_text(text)
    assert read_settings(tmp_path / "params.yaml", "drift", ["reference"]) == expected
    assert read_settings(None, "drift", []) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- drift", "params.yaml: it holds a list"),
        ("", "it holds a NoneType"),
        ("drift: 3", "section drift of .*it is 3"),
        ("drift: {refrence: 1}", "sets refrence.*use reference, atol"),
        ("drift: {", "cannot read settings from .*params.yaml"),
    ],
)
def test_read_settings__says_what_is_wrong_with_the_file(tmp_path, text, words):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(BadSetting, match=words):
        read_settings(tmp_path / "params.yaml", "drift", ["reference", "atol"])
    with pytest.raises(BadSetting, match="nowhere.yaml: .*no such file|nowhere.yaml: .*No such file"):
        read_settings(tmp_path / "nowhere.yaml", "drift", [])
