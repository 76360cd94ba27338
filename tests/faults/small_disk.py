"""A disk of a few pages that is really full soon."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size_kib: int) -> Iterator[None]:
    """A disk of its own over a folder, with the folder's owner and mode; what lay there comes back afterwards.

    The test is skipped where nobody may mount: there is no other way to a full disk that every party meets.
    """
    status = place.stat()
    options = f"size={size_kib}k,uid={status.st_uid},gid={status.st_gid},mode={status.st_mode & 0o7777:o}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "nightlink-fault", str(place)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if os.geteuid() != 0 or mounted.returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
