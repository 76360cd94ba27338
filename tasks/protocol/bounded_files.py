"""Files that somebody names on a command line or in settings: regular, and no larger than expected. Zone: protocol."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from linkage_core.errors import NightlinkError

MOST_FILE_BYTES = 1 << 32
"""Four GiB, 20 million CLKs of 1024 bits. A larger file is refused before it is read."""


def read_bounded(path: Path, most_bytes: int = MOST_FILE_BYTES) -> bytes:
    """The bytes of a regular file of at most this size; E-INPUT for anything else, a FIFO included."""
    try:
        # Opened without blocking and judged afterwards, so that what is checked is what is read.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _unreadable(path, "something that is not a regular file")
            if status.st_size > most_bytes:
                raise _unreadable(path, f"{status.st_size} bytes", f"at most {most_bytes}")
            return file.read(most_bytes)
    except OSError as error:
        raise _unreadable(path, f"a file that cannot be opened ({error.strerror})") from None


def _unreadable(path: Path, found: str, expected: str = "a readable file") -> NightlinkError:
    return NightlinkError(
        "E-INPUT", found=f"{found}, at {path}", expected=expected, remedy="Correct the path."
    )
