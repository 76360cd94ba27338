"""Working files between a custodian's stages: encrypted under a key that dies with the process. Zone: custodian.

Stages stream, so that memory is bounded by the size of a batch; what one stage hands to the next waits on disk.
Nothing readable may lie there, also after a power cut, so every batch is sealed with AES-256-GCM under a random
key that was never written anywhere.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from linkage_core.errors import NightlinkError
from tasks.custodian.source_rows import Misfit

_FRAME = struct.Struct("<Q")


class RecordSpool:
    """Record batches on disk, written once and read any number of times, in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._frames = 0
        self._rows = 0
        self.misfits: list[Misfit] = []
        """What lay between the rows in a file of people and is no row, in order; none in a database."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:  # our own mistake: a spool is made once
            raise
        except OSError as error:
            raise _spool_error(f"a working file that cannot be made ({error.strerror})") from None

    def __repr__(self) -> str:
        return f"RecordSpool({self._path.name}, {self._rows} rows)"

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._rows

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch; E-SPOOL when the disk is full or not writable."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        sealed = self._cipher.encrypt(self._nonce(self._frames), sink.getvalue().to_pybytes(), None)
        try:
            with self._path.open("ab") as file:
                file.write(_FRAME.pack(len(sealed)))
                file.write(sealed)
        except OSError as error:
            raise _spool_error(f"a write that failed ({error.strerror})") from None
        self._frames += 1
        self._rows += batch.num_rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            with self._path.open("rb") as file:
                for frame in range(self._frames):
                    plain = self._cipher.decrypt(self._nonce(frame), _read_frame(file), None)
                    yield from pa.ipc.open_stream(plain)
        except (OSError, struct.error, InvalidTag):
            raise _spool_error("a working file that was altered or cut short") from None

    def discard(self) -> None:
        """Remove the file; a spool that is gone already is no error."""
        self._path.unlink(missing_ok=True)

    @staticmethod
    def _nonce(frame: int) -> bytes:
        # Unique per key: the key belongs to this spool alone and frames are numbered.
        return frame.to_bytes(12, "little")


def _read_frame(file: BinaryIO) -> bytes:
    (size,) = _FRAME.unpack(file.read(_FRAME.size))
    # The length is not sealed: one that was altered must not reserve the memory that it asks for.
    if size > os.fstat(file.fileno()).st_size - file.tell():
        raise _spool_error("a working file that was altered or cut short")
    return file.read(size)


def _spool_error(found: str) -> NightlinkError:
    return NightlinkError(
        "E-SPOOL",
        found=found,
        expected="a working folder with free space that only this custodian writes",
        remedy="Check the free space and the owner of state_folder, and run the night again.",
    )
