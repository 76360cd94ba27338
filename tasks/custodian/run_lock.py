"""One run of a custodian at a time, on Unix and on Windows. Zone: custodian.

The lock goes with its holder: when a process ends, however it ends, the system gives it back.
"""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from linkage_core.errors import NightlinkError

_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""What a system says of a lock that another process has; a file system that knows no locks says something else."""


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the lock file at ``path`` during the block; E-RUN-LOCKED at once when another process holds it."""
    with path.open("a+b") as file:
        try:
            _lock(file.fileno())
        except OSError as error:
            if error.errno not in _HELD:
                raise
            locked = True
        else:
            locked = False
        if locked:
            raise NightlinkError(
                "E-RUN-LOCKED",
                found=f"another run of this custodian at work (this is process {os.getpid()})",
                expected="one run at a time",
                remedy="Wait for it to end; nothing was changed.",
                transient=True,
            )
        yield


def _lock(descriptor: int) -> None:
    """Take the whole file, or raise OSError at once."""
    _system_lock()(descriptor)


def _system_lock() -> Callable[[int], Any]:
    try:
        fcntl = importlib.import_module("fcntl")
    except ModuleNotFoundError:  # Windows
        msvcrt = importlib.import_module("msvcrt")
        # The first byte stands for all of it, whether it is written yet or not.
        return lambda descriptor: msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    return lambda descriptor: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
