"""A folder of its own for each demo, and no trace of demos that died."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "nightlink-demo-"
_LOCK, _PROCESSES = "demo.lock", "processes"


@contextmanager
def demo_folder() -> Iterator[Path]:
    """A fresh folder, locked while the demo lives and removed when it ends; dead demos' folders go first.

    Every demo has its own folder and free ports, so two demos at once are no conflict.
    """
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    # Other parties' users must reach their own sub-folders, and can list nothing.
    folder.chmod(0o711)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def note_process(folder: Path, process_group: int) -> None:
    """Remember a process group, so that a later demo can end it should this one be killed."""
    with (folder / _PROCESSES).open("a") as file:
        file.write(f"{process_group} {_started_at(process_group)}\n")


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        if (
            folder.is_dir()
            and not folder.is_symlink()
            and folder.stat().st_uid == os.geteuid()
            and _is_dead(folder)
        ):
            _end_processes(folder / _PROCESSES)
            shutil.rmtree(folder, ignore_errors=True)


def _is_dead(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        # Either a demo is just being set up or one died in its first moment: leave the young alone.
        return time.time() - folder.stat().st_mtime > 60
    except OSError:
        return False
    return True


def _end_processes(list_file: Path) -> None:
    if not list_file.exists():
        return
    for line in list_file.read_text().splitlines():
        group, _, started = line.partition(" ")
        # The number may belong to somebody else by now; the start time tells.
        if started and _started_at(int(group)) == started:
            os.killpg(int(group), signal.SIGKILL)


def _started_at(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
