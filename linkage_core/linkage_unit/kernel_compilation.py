"""Compile kernels on first use, and run them on threads in fixed chunks. Zone: linkage_unit.

Nothing compiles at import. Machine code is kept on disk only where the process set ``NUMBA_CACHE_DIR``: numba
would otherwise write beside the source, which an installed package must not allow. The folder holds pickles
that run when read, so it must belong to the process's own user and be closed to everybody else's writing; and
since numba looks at the time stamp of a kernel's own file alone, name it after the code version.

Threads are plain ones over kernels that release the interpreter's lock. Numba's own scheduler is not used:
its default layer ends the whole process when two threads start a kernel at once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
from numba.core import config


class CompiledKernel:
    """A function that numba compiles at its first call; used as a decorator.

    A damaged cache costs a compilation, never a run: the kernel is compiled anew, without the cache. Kernels
    only write into arrays they are handed, each element once, so calling one again is safe.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.plain = function
        self._dispatcher: Callable[..., None] | None = None

    def __call__(self, *arguments: Any) -> None:
        if self._dispatcher is not None:
            self._dispatcher(*arguments)
            return
        cached = bool(_numba_setting("CACHE_DIR"))
        try:
            self._dispatcher = self._compile(cached)
            self._dispatcher(*arguments)
        except Exception:
            if not cached:
                raise
            self._dispatcher = self._compile(False)
            self._dispatcher(*arguments)

    def _compile(self, cached: bool) -> Callable[..., None]:
        compiled: Callable[..., None] = numba.njit(nogil=True, cache=cached)(self.plain)
        return compiled


def default_threads() -> int:
    """Cores that this process may use (numba's count: ``NUMBA_NUM_THREADS``, else the affinity mask)."""
    return int(_numba_setting("NUMBA_NUM_THREADS"))


def _numba_setting(name: str) -> Any:
    """A setting that numba read from the environment; it makes the names of its settings at run time."""
    return vars(config)[name]


def run_in_chunks(
    work: Callable[[int, int], None], length: int, *, chunk: int, threads: int | None = None
) -> None:
    """Call ``work(start, stop)`` for consecutive chunks that cover ``range(length)``.

    Chunks do not depend on the number of threads, and each writes its own part of the output, so any number
    of threads gives the same bytes. The first chunk runs alone: it compiles the kernel. The first exception
    of a chunk is raised.
    """
    bounds = [(start, min(start + chunk, length)) for start in range(0, length, chunk)]
    threads = default_threads() if threads is None else threads
    if threads <= 1 or len(bounds) <= 2:
        for start, stop in bounds:
            work(start, stop)
        return
    work(*bounds[0])
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, start, stop) for start, stop in bounds[1:]]:
            done.result()
