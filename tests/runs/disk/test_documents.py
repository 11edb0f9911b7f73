import pytest

from trajlab.runs.disk.documents import parse_json, parse_yaml


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "64 levels"),
        ('{"a":' * 300 + "1" + "}" * 300, "64 levels"),
        ("9" * 5000, "5000 digits"),
        ("9" * 400, "400 digits"),
        ("²", "Expecting value"),
        (b"\xff\xfe", "not UTF-8"),
        ('{"a": "\\ud800"}', "lone surrogate"),
        ('{"\\uDC00": 1}', "lone surrogate"),
        ("", "Expecting value"),
    ],
)
def test_parse_json__what_is_no_plain_document_is_a_value_error(text, words):
    with pytest.raises(ValueError, match=words):
        parse_json(text)


def test_parse_json__plain_documents():
    assert parse_json(b'\xef\xbb\xbf{"a": [1, 2.5, null, "\\ud83d\\ude00"]}') == {"a": [1, 2.5, None, "😀"]}
    assert parse_json("[" * 64 + "]" * 64)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a: 2024-99-99", "month must be"),
        (b"a: &a [*a]", "64 levels"),
        (b"a: " + b"[" * 300 + b"]" * 300, "64 levels"),
        (b"\xff", "not UTF-8"),
        (b"!!python/object/apply:os.system [touch PWNED]", "could not determine a constructor"),
        (b"? [a]: b", "unhashable"),
        (b"a: " + b"9" * 5000, "4300"),
        (b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
            b"%c: &%c [%s]\n" % (at, at, b",".join([b"*%c" % (at - 1)] * 9)) for at in range(ord("b"), ord("h"))
        ), "100,000 values"),
    ],
)  # fmt: skip
def test_parse_yaml__what_is_no_plain_document_is_a_value_error(text, words):
    with pytest.raises(ValueError, match=words):
        parse_yaml(text)
