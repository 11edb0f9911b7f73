"""How kernels are compiled, and how their machine code is kept on disk."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

_PACKAGE = Path(__file__).resolve().parents[1]

_IMPORT = re.compile(r"^ *(?:from|import) (trajlab[.\w]*)(?: import (\([^)]*\)|.*))?", re.MULTILINE)

_FAST = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be reordered and contracted; NaN and Inf are never assumed away."""


def jit(function: Callable) -> Any:
    """Compile a kernel at its first call, and keep its machine code on disk.

    The code goes to the directory named by NUMBA_CACHE_DIR, else beside the source, else into the user's cache. Where
    none of these can be written to, it is compiled anew in each process.
    """
    return _kept(function, njit(nogil=True, fastmath=_FAST)(function))


def exact_jit(function: Callable) -> Any:
    """Compile a kernel as `jit` does, without fast math: it would fold away rounding errors that are to be kept."""
    return _kept(function, njit(nogil=True)(function))


def _kept(function: Callable, kernel: Any) -> Any:
    """Keep the machine code of a kernel on disk."""
    with suppress(RuntimeError):  # numba found no directory to write to
        kernel._cache = _KernelCache(function)
    return kernel


inner = njit(nogil=True, fastmath=_FAST, forceinline=True)
"""Compiles what kernels call, anew with each kernel, and into it.

Without `forceinline` LLVM calls some functions. Which of their copies, rounded differently, a call ends in then depends
on whether the machine code was just compiled or comes from the disk.
"""


exact_inner = njit(nogil=True, forceinline=True)
"""Compiles what exact kernels call."""


def source_stamp(path: Path) -> str:
    """Return a hash of all sources that the kernels of a file may be compiled from.

    Parameters
    ----------
    path
        The file. Its sources are itself and what it imports, directly or not, of this folder and of the sizes.
    """
    digest = sha256()
    for source in sorted(_imported(path)):
        digest.update(os.path.relpath(source, _PACKAGE).encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def _imported(path: Path) -> set[Path]:
    """Return a file, and the files of this folder and of the sizes that it imports, directly or not."""
    reached, waiting = set(), [path.resolve()]
    while waiting:
        source = waiting.pop()
        if source not in reached:
            reached.add(source)
            waiting += _imports(source)
    return reached


@cache
def _imports(path: Path) -> list[Path]:
    """Return the files of this folder and of the sizes that a file imports."""
    names = set()
    for module, imported in _IMPORT.findall(path.read_text(encoding="utf-8")):
        names |= {module, *(f"{module}.{name}" for name in re.findall(r"\w+", imported))}
    stems = [_PACKAGE.joinpath(*name.split(".")[1:]) for name in names]
    files = [file for stem in stems for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file()]
    return [file for file in files if file.is_relative_to(_PACKAGE / "scan") or file.name == "sizes.py"]


class _KernelCache(FunctionCache):
    """Numba's cache, valid for one state of all sources of a kernel.

    Numba compares only the file of the function itself with what it has compiled, but the functions that a kernel
    inlines come from other files.
    """

    def __init__(self, py_func: Callable):
        super().__init__(py_func)
        self._cache_file._source_stamp = source_stamp(Path(py_func.__code__.co_filename))

    @contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        with suppress(OSError, EOFError, UnpicklingError):  # a full disk or a damaged file costs time, no result
            yield
