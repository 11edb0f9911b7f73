import os
import signal
import subprocess
import sys
import textwrap

import pytest

from trajlab.running.interrupt import INTERRUPTED, interruptible


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def exits(monkeypatch):
    """Raise instead of leaving the process."""

    def leave(code):
        raise RuntimeError(code)

    monkeypatch.setattr(os, "_exit", leave)


@pytest.mark.parametrize("how", [KeyboardInterrupt, lambda: SystemExit(INTERRUPTED)], ids=["ctrl-C", "130"])
def test_interruptible__says_so_in_one_line_and_exits_with_130(exits, capsys, how):
    with pytest.raises(RuntimeError, match="130"), interruptible("pack"):
        raise how()
    out, err = capsys.readouterr()
    assert err == "pack: interrupted; nothing half-written is left\n" and not out


@pytest.mark.parametrize("code", [0, 1, 2, None])
def test_interruptible__other_exits_pass(exits, capsys, code):
    with pytest.raises(SystemExit) as ended, interruptible("pack"):
        sys.exit(code)
    assert ended.value.code == code and not capsys.readouterr().err


def test_interruptible__sigterm_ends_the_process_after_clean_up_though_a_thread_computes(tmp_path):
    program = """
        import os, signal, threading, time
        from trajlab.running.interrupt import interruptible
        threading.Thread(target=time.sleep, args=(60,)).start()
        with interruptible("pack"):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            finally:
                print("removed", flush=True)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (130, "removed\n") and done.stderr.startswith("pack: interrupted")
