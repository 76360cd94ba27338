"""The exchange: the one place where the zones meet, a write-once folder of signed deliveries. Zone: protocol.

Layout: ``<exchange>/<custodian>/<run_id>/<sequence>/{part-NNNN.sealed, manifest.json}``. A delivery without a
manifest is invisible; the manifest is written last, by a rename, so that a reader sees all of a delivery or none.
Into a new key epoch ``<exchange>/<custodian>/epoch-<epoch>/{pairs.sealed, passage.json}`` says which pseudonyms go on.
The other way go receipts alone: ``<exchange>/linkage-unit/<custodian>/<tree size>-<run_id>.json``.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from linkage_core.errors import NightlinkError

MANIFEST_NAME = "manifest.json"
MANIFEST_MAX_BYTES = 1 << 20
DELETION_NAME = "deletion.json"
"""A delivery whose parts its custodian deleted has this signed record beside its manifest."""
PASSAGE_NAME, PAIRS_NAME = "passage.json", "pairs.sealed"
RECEIPTS_FOLDER = "linkage-unit"
"""No custodian can have this name: theirs have no hyphen."""
_SEQUENCE = re.compile(r"^[0-9]{6}$")
_RECEIPT = re.compile(r"^[0-9]{12}-[A-Za-z0-9._-]{1,100}\.json$")
# Readable for the group of that part of the exchange: its custodian and the linkage unit.
_FOLDER_MODE, _FILE_MODE = 0o2750, 0o640
# Windows has neither links that anybody may make nor FIFOs in folders, and would translate line ends.
_READ_FLAGS = os.O_RDONLY
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
    _READ_FLAGS |= getattr(os, _flag, 0)


@dataclass(frozen=True)
class DeliveryFolder:
    """Where one delivery lies."""

    custodian: str
    run_id: str
    sequence: int
    path: Path


def complete_deliveries(exchange: Path, custodian: str, run_id: str) -> list[DeliveryFolder]:
    """The deliveries of one custodian for one run that have a manifest, in order of sequence."""
    return [
        folder
        for folder in _delivery_folders(exchange, custodian, run_id)
        if (folder.path / MANIFEST_NAME).exists()
    ]


def all_deliveries(exchange: Path, custodian: str) -> list[DeliveryFolder]:
    """Every delivery of one custodian that has a manifest, over all runs."""
    home = exchange / custodian
    runs = sorted(entry.name for entry in home.iterdir() if entry.is_dir()) if home.is_dir() else []
    return [folder for run in runs for folder in complete_deliveries(exchange, custodian, run)]


def next_sequence(exchange: Path, custodian: str) -> int:
    """One more than the largest sequence number that this custodian has begun, over all runs."""
    home = exchange / custodian
    runs = [entry.name for entry in home.iterdir() if entry.is_dir()] if home.is_dir() else []
    return 1 + max(
        (f.sequence for run in runs for f in _delivery_folders(exchange, custodian, run)), default=0
    )


def remove_unfinished(exchange: Path, custodian: str, run_id: str) -> int:
    """Remove the custodian's own deliveries that never got their manifest; returns how many."""
    unfinished = [
        folder
        for folder in _delivery_folders(exchange, custodian, run_id)
        if not (folder.path / MANIFEST_NAME).exists()
    ]
    for folder in unfinished:
        shutil.rmtree(folder.path)
    return len(unfinished)


def open_delivery(exchange: Path, custodian: str, run_id: str, sequence: int) -> DeliveryFolder:
    """Create the folder of a new delivery; it must not exist yet.

    Raises
    ------
    NightlinkError
        E-OUTPUT when this part of the exchange cannot be written.
    """
    path = exchange / custodian / run_id / f"{sequence:06d}"
    with _writing(path):
        for folder in (path.parent.parent, path.parent):
            if not folder.is_dir():
                folder.mkdir(parents=True)
                folder.chmod(_FOLDER_MODE)
        path.mkdir()
        path.chmod(_FOLDER_MODE)
    return DeliveryFolder(custodian, run_id, sequence, path)


def write_file(folder: DeliveryFolder, name: str, data: bytes) -> None:
    """Write one file of a delivery to disk, whole, under its name only when it is complete.

    Raises
    ------
    NightlinkError
        E-OUTPUT when it cannot be written, such as on a full disk; nothing of it is left.
    """
    partial = folder.path / f".{name}.partial"
    with _writing(folder.path / name):
        try:
            _write_synced(partial, data)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        partial.rename(folder.path / name)


def remove_file(folder: DeliveryFolder, name: str) -> None:
    """Remove one file of a delivery; one that is gone already is as good.

    Raises
    ------
    NightlinkError
        E-OUTPUT when it cannot be removed.
    """
    try:
        (folder.path / name).unlink(missing_ok=True)
    except OSError as error:
        failure = error
    else:
        return
    raise NightlinkError(
        "E-OUTPUT",
        found=f"{name} of {folder.custodian}'s delivery {folder.sequence} cannot be removed ({failure.strerror})",
        expected="a part of the exchange that its custodian may write",
        remedy="Run the command as the custodian's own user; what was removed stays removed.",
    )


def read_file(folder: DeliveryFolder, name: str, max_bytes: int) -> bytes:
    """One regular file of a delivery, at most ``max_bytes`` long; links and devices are refused.

    Raises
    ------
    NightlinkError
        E-DLV-DIGEST when the file is missing, too large, or not a regular file.
    """
    try:
        return _read_regular(folder.path / name, max_bytes)
    except _NotRegularError as error:
        raise _bad_file(folder, name, f"{error.size} bytes, or not a regular file") from None
    except OSError as error:
        raise _bad_file(folder, name, f"a file that cannot be opened ({error.strerror})") from None


def receipt_name(tree_size: int, run_id: str) -> str:
    """The name of a receipt's file: names sort as the sizes of their logs do."""
    return f"{tree_size:012d}-{run_id}.json"


def receipt_names(exchange: Path, custodian: str) -> list[str]:
    """Names of the linkage unit's receipts for one custodian, in their order."""
    home = exchange / RECEIPTS_FOLDER / custodian
    names = sorted(entry.name for entry in home.iterdir()) if home.is_dir() else []
    return [name for name in names if _RECEIPT.match(name)]


def read_receipt(exchange: Path, custodian: str, name: str, max_bytes: int) -> bytes:
    """One receipt, a regular file of at most ``max_bytes``; E-AUDIT-RECEIPT when it is none."""
    try:
        return _read_regular(exchange / RECEIPTS_FOLDER / custodian / name, max_bytes)
    except (OSError, _NotRegularError):
        raise NightlinkError(
            "E-AUDIT-RECEIPT",
            found=f"the receipt {name} cannot be read, or is too large",
            expected=f"a file of at most {max_bytes} bytes that this party may read",
            remedy="Ask the linkage unit to write it again, and see who owns the folder of receipts.",
        ) from None


def write_receipt(exchange: Path, custodian: str, name: str, data: bytes) -> None:
    """Write a receipt whole, or not at all; its folder is made where there is none."""
    home = exchange / RECEIPTS_FOLDER / custodian
    if not home.is_dir():
        home.mkdir(parents=True)
        home.chmod(_FOLDER_MODE)
        home.parent.chmod(0o711)
    write_file(DeliveryFolder(custodian, name, 0, home), name, data)


def passage_folder(exchange: Path, custodian: str, epoch: str) -> DeliveryFolder:
    """Where a custodian's passage into an epoch lies, or is to lie."""
    run_id = f"epoch-{epoch}"
    return DeliveryFolder(custodian, run_id, 0, exchange / custodian / run_id)


def open_passage_folder(folder: DeliveryFolder) -> None:
    """Make it, as a delivery's folders are made."""
    for path in (folder.path.parent, folder.path):
        if not path.is_dir():
            path.mkdir(parents=True)
            path.chmod(_FOLDER_MODE)


def missing_delivery(run_id: str, custodians: Iterable[str]) -> NightlinkError:
    """The error for custodians whose delivery has not arrived."""
    return NightlinkError(
        "E-DLV-MISSING",
        found=f"no complete delivery of {', '.join(custodians)} for the run {run_id}",
        expected="one from every custodian of the protocol",
        remedy="See why that custodian's flow failed; run the night again once it has delivered.",
        transient=True,
    )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """E-OUTPUT in place of what a disk without room or without rights raises; a file that exists is our own mistake."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        failure = error
    else:
        return
    raise NightlinkError(
        "E-OUTPUT",
        found=f"{path.name} in {path.parent} cannot be written ({failure.strerror})",
        expected="a part of the exchange with free space that this party may write",
        remedy="Make room or mend the rights, then run the night again; what is unfinished counts for nothing.",
    )


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "fchmod"):  # Windows: a file has the rights of its folder
            os.fchmod(file.fileno(), _FILE_MODE)


class _NotRegularError(Exception):
    """A link, a device, or a file larger than it may be."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


def _read_regular(path: Path, max_bytes: int) -> bytes:
    descriptor = os.open(path, _READ_FLAGS)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
            raise _NotRegularError(status.st_size)
        return file.read(max_bytes + 1)


def _delivery_folders(exchange: Path, custodian: str, run_id: str) -> list[DeliveryFolder]:
    home = exchange / custodian / run_id
    if not home.is_dir():
        return []
    names = sorted(
        entry.name for entry in home.iterdir() if _SEQUENCE.match(entry.name) and not entry.is_symlink()
    )
    return [DeliveryFolder(custodian, run_id, int(name), home / name) for name in names]


def _bad_file(folder: DeliveryFolder, name: str, found: str) -> NightlinkError:
    return NightlinkError(
        "E-DLV-DIGEST",
        found=f"{found}: {name} of {folder.custodian}'s delivery {folder.sequence}",
        expected="the file that the manifest describes",
        remedy="The delivery is refused; the custodian must deliver again.",
    )
