"""The working folder of one run at a custodian. Zone: custodian."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.custodian.run_lock import run_lock
from tasks.custodian.spool import RecordSpool


class NightFolder:
    """Where a run's spools lie; gone when the run ends."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def spool(self, name: str) -> RecordSpool:
        """A new spool called ``name``."""
        return RecordSpool(self._path / f"{name}.spool")


@contextmanager
def night_folder(state_folder: Path) -> Iterator[NightFolder]:
    """A private, empty folder for this run; what a killed run left there is removed first.

    Raises
    ------
    NightlinkError
        E-RUN-LOCKED when another run of this custodian is at work.
    """
    work = state_folder / "work"
    state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with run_lock(state_folder / "work.lock"):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        try:
            yield NightFolder(work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
