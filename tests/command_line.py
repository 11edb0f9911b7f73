"""The command line, called in this process: a new one for each call takes seconds to import what it needs."""

import io
import signal
import sys
from contextlib import chdir, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from trajlab.cli import main


@dataclass(frozen=True)
class Done:
    """What a command did; named as in `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def call(*arguments: object, cwd: Path | None = None) -> Done:
    """Run a command with these arguments."""
    stdout, stderr = io.StringIO(), io.StringIO()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with (
        mock.patch.object(sys, "argv", ["trajlab", *map(str, arguments)]),
        chdir(cwd) if cwd else nullcontext(),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code or 0
        finally:
            signal.signal(signal.SIGTERM, on_sigterm)
    return Done(code, stdout.getvalue(), stderr.getvalue())
