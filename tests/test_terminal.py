import subprocess
import sys

from trajlab.terminal import printable, say


def test_printable__what_a_terminal_obeys_is_escaped():
    text = "\x1b]0;title\x07 \x9b31m\r\n\t\x00\u202e\u2066\u2028\ud800"
    assert printable(text).isascii() and printable(text).isprintable()
    assert printable("größe ∑ 名.weight") == "größe ∑ 名.weight"


def test_say__is_one_line(capsys):
    say("a\nb\x1b[2J")
    assert capsys.readouterr().err == "trajlab: a\\nb\\x1b[2J\n"


def test_open_closed_streams__output_leads_nowhere(tmp_path):
    program = "import sys; from trajlab.terminal import open_closed_streams, say; open_closed_streams()\n"
    program += "print('a'); say('b'); sys.stdout.flush(); open(sys.argv[1], 'w').write('done')"
    command = f'{sys.executable} -c "$0" {tmp_path / "file"} >&- 2>&-'
    done = subprocess.run(["sh", "-c", command, program], capture_output=True, timeout=60)
    assert done.returncode == 0 and (tmp_path / "file").read_text() == "done"
