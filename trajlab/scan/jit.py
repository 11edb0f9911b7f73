"""How kernels are compiled, and how their machine code is kept on disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

from trajlab import sizes

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


inner = njit(nogil=True, fastmath=_FAST)
"""Compiles what kernels call, anew with each kernel: code from the disk is not inlined, and rounds differently."""


exact_inner = njit(nogil=True)
"""Compiles what exact kernels call."""


@cache
def source_stamp() -> str:
    """Return a hash of all sources that kernels are compiled from."""
    folder, digest = Path(__file__).parent, sha256()
    for path in sorted([*folder.rglob("*.py"), Path(sizes.__file__)]):  # kernels freeze the sizes that they read
        digest.update(path.relative_to(folder.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class _KernelCache(FunctionCache):
    """Numba's cache, valid for one state of all kernel sources.

    Numba compares only the file of the function itself with what it has compiled, but the functions that a kernel
    inlines come from other files.
    """

    def __init__(self, py_func: Callable):
        super().__init__(py_func)
        self._cache_file._source_stamp = source_stamp()

    @contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        with suppress(OSError, EOFError, UnpicklingError):  # a full disk or a damaged file costs time, no result
            yield
