import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from trajlab.running.current_folder import ignore_current_folder

TOLD = """
import os, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in ("matplotlib", "numba", "torch"):
            print(name, "from", os.getcwd())

sys.meta_path.insert(0, Finder())
from trajlab.running.current_folder import ignore_current_folder
ignore_current_folder()
print("then", os.getcwd())
"""


def python(folder, program, **variables):
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(program)],
        cwd=folder, capture_output=True, text=True, env=os.environ | variables,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return done


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("matplotlibrc", "matplotlib"),
        (".numba_config.yaml", "numba"),
        ("libcuda.so.1", "torch"),
        ("glibc-hwcaps", "torch"),
    ],
)
def test_ignore_current_folder__what_reads_it_is_imported_from_elsewhere(tmp_path, file, module):
    (tmp_path / file).touch()
    printed = python(tmp_path, TOLD).stdout.splitlines()
    assert printed[0] == f"{module} from /" and printed[-1] == f"then {tmp_path}"


def test_ignore_current_folder__imports_nothing_in_another(tmp_path):
    (tmp_path / "step1.safetensors").touch()
    assert python(tmp_path, TOLD).stdout == f"then {tmp_path}\n"


def test_ignore_current_folder__a_folder_that_is_gone_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    ignore_current_folder()


SETTING = """
    from trajlab.running.current_folder import ignore_current_folder
    ignore_current_folder()
    import matplotlib
    print(matplotlib.rcParams["text.usetex"])
"""


def test_ignore_current_folder__matplotlibrc_counts_only_if_the_caller_names_it(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    done = python(tmp_path, SETTING)
    assert done.stdout == "False\n" and "ignored matplotlibrc of the current folder" in done.stderr
    assert python(tmp_path, SETTING, MATPLOTLIBRC="matplotlibrc").stdout == "True\n"


@pytest.mark.parametrize("content", ["cache_dir: planted\n", "- a\n", "\0"])
def test_ignore_current_folder__kernels_are_not_taken_from_it(tmp_path, content):
    (tmp_path / ".numba_config.yaml").write_text(content)
    program = """
        from trajlab.running.current_folder import ignore_current_folder
        ignore_current_folder()
        from numba.core import config
        config.reload_config()
        print(repr(config.CACHE_DIR))
    """
    variables = {"NUMBA_CACHE_DIR": ""}
    done = python(tmp_path, program, **variables)
    assert done.stdout == "''\n" and "ignored .numba_config.yaml" in done.stderr
    assert python(tmp_path, program, NUMBA_CACHE_DIR=str(tmp_path)).stdout == f"{str(tmp_path)!r}\n"


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_main__loads_no_library_of_the_current_folder(tmp_path):
    source = '#include <stdio.h>\n__attribute__((constructor)) static void run(void) { fclose(fopen("PWNED", "w")); }\n'
    (tmp_path / "planted.c").write_text(source)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "libcuda.so.1", "planted.c"], cwd=tmp_path, check=True)
    python(tmp_path, "import ctypes; ctypes.CDLL('./libcuda.so.1')")
    assert (tmp_path / "PWNED").exists()  # the attack works
    (tmp_path / "PWNED").unlink()
    program = """
        import sys
        sys.argv = ["trajlab", "info", "."]
        from trajlab.cli import main
        try:
            main()
        except SystemExit:
            import torch
    """
    python(tmp_path, program)
    assert not (tmp_path / "PWNED").exists()
