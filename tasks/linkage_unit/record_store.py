"""What the linkage unit keeps of each custodian from one night to the next. Zone: linkage_unit.

``state_folder/records-<custodian>.kept``: the columns of its records as they stood, sealed with AES-256-GCM under a
key of the file's own, derived from the linkage unit's. It spares reading everything again when a delivery brings only
changes, and nothing else: without it, or when it does not open, the deliveries in the exchange are read.

Layout: :data:`MAGIC`; 32 bytes of salt; then frames, each after its length in eight bytes, little-endian: first JSON,
then the columns, in frames of :data:`FRAME_BYTES`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.evidence_spec import EvidenceSpec
from tasks.linkage_unit.chunk_files import unwritable
from tasks.linkage_unit.work_folder import STATE_COLUMNS, ColumnLayout

MAGIC = b"nightlink-records-1\n"
FRAME_BYTES = 1 << 25
_SALT_BYTES = 32
_GCM_BYTES = 16


@dataclass(frozen=True)
class KeptRecords:
    """Which state is kept of a custodian."""

    custodian: str
    manifest_sha256: str
    sequence: int
    key_epoch: str
    rows: int


def keep_records(
    kept: KeptRecords, columns: Path, spec: EvidenceSpec, state_folder: Path, key: bytes
) -> None:
    """Seal a folder of columns in place of what was kept of that custodian, whole or not at all.

    Raises
    ------
    NightlinkError
        E-CHUNK-FILE when the disk is full.
    """
    path = kept_file(state_folder, kept.custodian)
    partial = path.with_suffix(".partial")
    salt = secrets.token_bytes(_SALT_BYTES)
    try:
        with open(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(MAGIC + salt)
            frames = Frames(file, _cipher(key, salt))
            frames.write(json.dumps(asdict(kept)).encode())
            for name in _column_names(spec):
                for content in _pieces(columns / name):
                    frames.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise unwritable(path.name, error) from None


def kept_records(state_folder: Path, custodian: str, key: bytes) -> KeptRecords | None:
    """What is kept of a custodian; None when there is nothing that opens."""
    try:
        with kept_file(state_folder, custodian).open("rb") as file:
            return _read_head(_open_frames(file, key))
    except (OSError, InvalidTag):
        return None


def unpack_records(
    kept: KeptRecords, columns: Path, spec: EvidenceSpec, state_folder: Path, key: bytes
) -> bool:
    """Open what is kept into a new folder of columns; False when it was altered or cut short."""
    partial = columns.with_name(f"{columns.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(mode=0o700)
        with kept_file(state_folder, kept.custodian).open("rb") as file:
            frames = _open_frames(file, key)
            if _read_head(frames) != kept:
                return False
            for name, row_bytes in _column_sizes(spec):
                _unpack_column(partial / name, kept.rows * row_bytes, frames)
    except InvalidTag:
        return False
    except OSError as error:
        raise unwritable("the records that are kept", error) from None
    shutil.rmtree(columns, ignore_errors=True)
    partial.rename(columns)
    return True


def forget_records(state_folder: Path, custodian: str) -> None:
    """Remove what is kept of a custodian."""
    kept_file(state_folder, custodian).unlink(missing_ok=True)


def kept_file(state_folder: Path, custodian: str) -> Path:
    """Where it lies."""
    return state_folder / f"records-{custodian}.kept"


class Frames:
    """Numbered frames of one file, each sealed."""

    def __init__(self, file: BinaryIO, cipher: AESGCM) -> None:
        self._file, self._cipher, self._number = file, cipher, 0

    def write(self, content: bytes) -> None:
        """The next frame."""
        sealed = self._cipher.encrypt(self._nonce(), content, None)
        self._file.write(len(sealed).to_bytes(8, "little"))
        self._file.write(sealed)

    def read(self) -> bytes:
        """The next frame; InvalidTag when it is not there as it was written."""
        size = int.from_bytes(self._file.read(8), "little")
        if not _GCM_BYTES <= size <= FRAME_BYTES + _GCM_BYTES:
            raise InvalidTag
        return self._cipher.decrypt(self._nonce(), self._file.read(size), None)

    def _nonce(self) -> bytes:
        # Unique per key: the key belongs to this file alone, by its salt, and frames are numbered.
        self._number += 1
        return self._number.to_bytes(12, "little")


def _open_frames(file: BinaryIO, key: bytes) -> Frames:
    if file.read(len(MAGIC)) != MAGIC:
        raise InvalidTag
    return Frames(file, _cipher(key, file.read(_SALT_BYTES)))


def _read_head(frames: Frames) -> KeptRecords:
    return KeptRecords(**json.loads(frames.read()))


def _unpack_column(path: Path, size: int, frames: Frames) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        while size > 0:
            content = frames.read()
            size -= len(content)
            file.write(content)
    if size < 0:
        raise InvalidTag


def _pieces(path: Path) -> Iterator[bytes]:
    if not path.exists():  # no records: no column was begun
        return
    with path.open("rb") as file:
        while content := file.read(FRAME_BYTES):
            yield content


def _column_sizes(spec: EvidenceSpec) -> list[tuple[str, int]]:
    """Every column of a folder, and its bytes a record."""
    compared = [(name, dtype.itemsize * width) for name, dtype, width in ColumnLayout.of(spec).columns]
    return [*compared, *((name, 16) for name in STATE_COLUMNS)]


def _column_names(spec: EvidenceSpec) -> list[str]:
    return [name for name, _ in _column_sizes(spec)]


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(derive_key(key, ("kept-records", salt.hex())))
