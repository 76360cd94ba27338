"""Files that a command leaves behind: whole or not at all, readable for their owner only. Zone: protocol."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from linkage_core.errors import NightlinkError


class DigestedFile:
    """A file being written, with the size and SHA-256 of what went into it; without a file it only counts."""

    def __init__(self, file: BinaryIO | None, folder: Path | None = None) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0
        self.folder = folder
        """Where working files of its size have room; None is the system's own."""
        self.closed = False
        """Never: whoever opened it closes it."""

    def write(self, data: bytes) -> int:
        """Append; how many bytes."""
        if self._file is not None:
            self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)
        return len(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self.bytes

    def flush(self) -> None:
        """Nothing: :func:`whole_file` does that at the end."""

    @property
    def sha256(self) -> str:
        """Of everything written so far, in hex."""
        return self._digest.hexdigest()


@contextmanager
def whole_file(path: Path | None) -> Iterator[DigestedFile]:
    """A new file in place of ``path`` when the block ends well; otherwise what was there stays.

    None is a dry run: nothing is written.

    Raises
    ------
    NightlinkError
        E-OUTPUT when it cannot be written, such as on a full disk.
    """
    if path is None:
        yield DigestedFile(None)
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with _owner_only(partial) as file:
            yield DigestedFile(file, path.parent)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        failure = cannot_write(path, error)
    else:
        return
    finally:
        partial.unlink(missing_ok=True)
    raise failure


def write_whole(path: Path | None, text: str) -> None:
    """Write a text as :func:`whole_file` does."""
    with whole_file(path) as file:
        file.write(text.encode("utf-8"))


def replace_file(path: Path, data: bytes) -> None:
    """A small file of a party's own in place of what was there, whole or not at all, readable for its owner only.

    Raises
    ------
    NightlinkError
        E-OUTPUT when it cannot be written, such as on a full disk.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with _owner_only(partial) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        failure = cannot_write(path, error)
    else:
        return
    raise failure


def _owner_only(path: Path) -> BinaryIO:
    # Process numbers come again, in a container all the time: what a killed one left must not be in the way.
    path.unlink(missing_ok=True)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags, 0o600), "wb")


def cannot_write(path: Path, error: OSError) -> NightlinkError:
    """E-OUTPUT, with the system's own word for what is wrong."""
    return NightlinkError(
        "E-OUTPUT",
        found=f"{path} cannot be written ({error.strerror})",
        expected="a folder with free space that you may write",
        remedy="Nothing was left half-written; make room or choose another path, and start again.",
    )
