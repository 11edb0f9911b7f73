"""Run commands on damaged inputs in this process, and tell clear errors from bugs."""

import io
import os
import re
import shutil
import signal
import sys
from collections import Counter
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import typer
from click.exceptions import ClickException

from tests.fuzz.mutations import damage
from tests.fuzz.targets import TARGETS
from trajlab.cli import app
from trajlab.errors import FILE_ERRORS, TrajlabError
from trajlab.runs.disk.paths import as_path

SECONDS = 180
"""Longest time of a command; more is a hang. On a busy machine, compiling kernels takes a minute."""

COMMAND = typer.main.get_command(app)


class Hang(BaseException):
    """A command took too long."""


def read_probe(path):
    """Read a probe as replaying stages do."""
    from trajlab.replays.probe_files import read_probe

    read_probe(path)


def explore(path):
    """Draw the views of the page of `trajlab explore`, without a server."""
    from trajlab.explorer.arrays import Arrays
    from trajlab.explorer.explore import collection_of
    from trajlab.explorer.page import Page
    from trajlab.explorer.selection import VIEWS

    collection = collection_of(as_path(path), results=Path(path).parent / "computed", stages=["drift"])
    collection.start()
    collection.wait()
    page, arrays = None, Arrays()
    try:
        page = Page(collection, arrays)
        for view in VIEWS:
            page.selection.view = view
            if "This view failed" in str(page.failure.object):
                raise RuntimeError(f"{view}: {page.failure.object}")
    finally:
        arrays.stop()
        collection.stop()


CALLS = {"probe": read_probe, "explore": explore}
"""What is called in place of a command: no command reads only a probe, and `explore` would serve until ctrl-C."""


def outcome(arguments):
    """Run a command, and return "accepted", "refused", or what a traceback would show."""
    text, streams = io.StringIO(), (sys.stdout, sys.stderr)
    try:
        with redirect_stdout(text), redirect_stderr(text), _at_most(SECONDS):
            if arguments[0] in CALLS:
                CALLS[arguments[0]](*arguments[1:])
            else:
                COMMAND.main(list(arguments), standalone_mode=False)
    except (TrajlabError, ClickException) as error:
        return _told(error, arguments, text)
    except OSError as error:
        return "refused" if error.errno in FILE_ERRORS else _bug(error)
    except Hang:
        return f"it hangs: {arguments[0]}"
    except Exception as error:
        return _bug(error)
    except SystemExit as error:
        return f"it ends the process: {error}"
    finally:
        sys.stdout, sys.stderr = streams  # threads of libraries may have replaced them
    return "a terminal obeys what it prints" if "\x1b" in text.getvalue() else "accepted"


def _told(error, arguments, text):
    if "weights_only=False" in str(error):
        return "its error advises to run code"
    return "a terminal obeys what it prints" if "\x1b" in text.getvalue() else "refused"


def _bug(error):
    trace, at = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        at = f"{Path(file).name}:{trace.tb_lineno}" if "trajlab" in file and "site-packages" not in file else at
        trace = trace.tb_next
    return f"{type(error).__name__} at {at}: {re.sub(r'/[^ ]*/', '', str(error))[:100]}"


@contextmanager
def _at_most(seconds):
    def stop(number, frame):
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Fuzz:
    """Damaged inputs, each from its own seed, and what became of them.

    Parameters
    ----------
    folder
        Folder to work in.
    """

    def __init__(self, folder):
        self.folder = folder
        self.table = {}
        self.bugs = {}

    def case(self, name, seed):
        """Damage a copy of a target, run one of its commands on it, and return the outcome."""
        target = TARGETS[name]
        template = self.folder / "templates" / re.sub(r"\W", "-", name)
        if not template.exists():
            template.mkdir(parents=True)
            target.build(template)
        rng = np.random.default_rng([seed, list(TARGETS).index(name)])
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(template, work)
        files = sorted({path for pattern in target.victims for path in work.glob(pattern) if path.is_file()})
        path = files[rng.integers(len(files))]
        damage(path, rng)
        command = target.commands[rng.integers(len(target.commands))]
        result = outcome([word.replace("{}", str(work)).replace("{suffix}", path.suffix[1:]) for word in command])
        self._note(name, result, f"{name!r}, {seed}: {path.relative_to(work)}: {command[0]}")
        return result

    def _note(self, name, result, where):
        kind = result if result in ("accepted", "refused") else "bug"
        self.table.setdefault(name, Counter())[kind] += 1
        if kind == "bug":
            self.bugs.setdefault(result, []).append(where)
        if (self.folder / "PWNED").exists() or os.path.exists("PWNED"):
            raise AssertionError(f"data ran code: {where}")
