from trajlab.terminal import printable, say


def test_printable__what_a_terminal_obeys_is_escaped():
    text = "\x1b]0;title\x07 \x9b31m\r\n\t\x00\u202e\u2066\u2028\ud800"
    assert printable(text).isascii() and printable(text).isprintable()
    assert printable("größe ∑ 名.weight") == "größe ∑ 名.weight"


def test_say__is_one_line(capsys):
    say("a\nb\x1b[2J")
    assert capsys.readouterr().err == "trajlab: a\\nb\\x1b[2J\n"
