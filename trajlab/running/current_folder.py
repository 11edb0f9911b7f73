"""Keep libraries from taking settings or machine code from the current folder, which may be a stranger's.

matplotlib reads matplotlibrc there, whose settings run LaTeX. numba reads .numba_config.yaml there, which names the
folder of its cache, and the cache is pickles and machine code. CUDA builds of PyTorch bring a library that is searched
for libcuda.so.1 there. So where such a file lies, the library is imported from another folder, before all else.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module

from trajlab.terminal import say

MATPLOTLIB, NUMBA = "matplotlibrc", ".numba_config.yaml"

ELSEWHERE = os.path.abspath(os.sep)
"""Folder from which the libraries are imported."""

SEARCHED = ("glibc-hwcaps", "tls", "haswell", "avx512_1", "x86_64", "aarch64", "atomics")
"""Folders in which the loader of Linux looks for libraries, too."""


def ignore_current_folder() -> None:
    """Import what would read the current folder from elsewhere, and say which files are ignored.

    Nothing is imported where no such file lies. Settings that the environment names are read as ever.
    """
    try:
        names = sorted(os.listdir())
    except OSError:
        return
    libraries = [name for name in names if name in SEARCHED or ".so" in name]
    if MATPLOTLIB in names:
        if named := os.environ.get("MATPLOTLIBRC"):
            os.environ["MATPLOTLIBRC"] = os.path.abspath(named)
        _import_elsewhere("matplotlib")
        say(f"ignored {MATPLOTLIB} of the current folder; set MATPLOTLIBRC={MATPLOTLIB} to use it")
    if NUMBA in names:
        _import_elsewhere("numba.core.config")
        from numba.core import config

        config._config_fname = os.devnull  # numba reads it again at each compilation
        say(f"ignored {NUMBA} of the current folder; set the variables NUMBA_… to the same effect")
    if libraries:
        _import_elsewhere("torch")


def _import_elsewhere(module: str) -> None:
    with _elsewhere(), suppress(ImportError):
        import_module(module)


@contextmanager
def _elsewhere() -> Iterator[None]:
    here = os.getcwd()
    os.chdir(ELSEWHERE)
    try:
        yield
    finally:
        os.chdir(here)
