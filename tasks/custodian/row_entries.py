"""What a custodian keeps of the rows that it delivered, to prove one when somebody asks. Zone: custodian.

Of each record that a delivery brought 64 bytes, none of them readable: pseudonym, digest of the encoding, commitment.
They are kept as long as the delivery's parts are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from linkage_core.audit.row_commitments import ENTRY_DTYPE, Entries, RowTree
from linkage_core.errors import NightlinkError
from tasks.custodian.settings import CustodianSite
from tasks.protocol.output_files import DigestedFile, whole_file

ENTRIES_FOLDER = "rows"


class KeptEntries:
    """A delivery's entries as they are written down, part by part, and the root over their commitments."""

    def __init__(self, file: DigestedFile) -> None:
        self._file, self._tree = file, RowTree()

    def add(self, entries: Entries) -> None:
        """The next records' entries, in the order of the delivery."""
        self._file.write(entries.tobytes())
        self._tree.add(entries["leaf"].tobytes())

    @property
    def root(self) -> bytes:
        """Over all of them so far."""
        return self._tree.root


@contextmanager
def kept_entries(sequence: int, site: CustodianSite) -> Iterator[KeptEntries]:
    """Write down a delivery's entries, whole or not at all; what a killed run left half-written goes.

    Raises
    ------
    NightlinkError
        E-OUTPUT when the state folder has no room.
    """
    path = _path(sequence, site)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    for left in path.parent.glob(".*.partial"):
        left.unlink()
    with whole_file(path) as file:
        yield KeptEntries(file)


def read_entries(sequence: int, site: CustodianSite) -> Entries:
    """The entries that were kept of a delivery; E-ROW-PROOF when there are none."""
    try:
        return np.frombuffer(_path(sequence, site).read_bytes(), ENTRY_DTYPE)
    except (OSError, ValueError) as error:
        kind = type(error).__name__
    raise NightlinkError(
        "E-ROW-PROOF",
        found=f"nothing readable kept of the rows of delivery {sequence} ({kind})",
        expected="what was written when it was delivered: deleted with its parts, or with the state folder",
        remedy="Name another delivery that brought the record.",
    )


def forget_entries(sequence: int, site: CustodianSite) -> None:
    """Delete what was kept of a delivery's rows; nothing kept is as good."""
    _path(sequence, site).unlink(missing_ok=True)


def _path(sequence: int, site: CustodianSite) -> Path:
    return site.settings.state_folder / ENTRIES_FOLDER / f"{sequence:06d}.rows"
