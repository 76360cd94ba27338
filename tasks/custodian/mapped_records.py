"""Encoded records in files that memory only looks into. Zone: custodian."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linkage_core.protocol.encoded_evidence import EncodedEvidence
from linkage_core.protocol.encoded_records import EncodedRecords, copy_records, empty_records
from linkage_core.protocol.evidence_spec import EvidenceSpec
from tasks.protocol.output_files import DigestedFile

_PASSED_BYTES = 1 << 26
"""How much is written before the pages that were looked at are given back."""


class MappedRecords:
    """Room for ``rows`` records, mapped from files in ``folder``; filled from the front, then read once.

    Pages that were looked at are given back to the system again and again: otherwise all of the output would
    count as this process's memory by the end. What they hold is in the files (Windows keeps them until it needs
    the room).
    """

    def __init__(self, spec: EvidenceSpec, rows: int, folder: Path) -> None:
        self._arrays: list[np.memmap[Any, Any]] = []
        self._filled = 0
        self.records = empty_records(spec)
        if not rows:  # nothing can be mapped
            return

        def on_disk(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            file = folder / f"column-{len(self._arrays)}"
            self._arrays.append(np.memmap(file, array.dtype, "w+", shape=(rows, *array.shape[1:])))
            return self._arrays[-1]

        evidence = self.records.evidence
        self.records = EncodedRecords(
            on_disk(self.records.record_pseudonyms),
            EncodedEvidence(
                on_disk(evidence.tokens),
                tuple(on_disk(filters) for filters in evidence.group_filters),
                on_disk(evidence.rarity),
                on_disk(evidence.sex),
            ),
        )

    def append(self, records: EncodedRecords) -> None:
        """Copy records behind those that are there."""
        copy_records(records, self.records, self._filled)
        self._filled += len(records)
        self.release()

    def release(self) -> None:
        """Give back the pages that were looked at; the files keep what they hold."""
        for array in self._arrays:
            if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                array.base.madvise(mmap.MADV_DONTNEED)


class ReleasingFile:
    """A file being written from mapped records, which gives back what it has passed."""

    def __init__(self, file: DigestedFile, mapped: MappedRecords) -> None:
        self._file, self._mapped, self._next = file, mapped, _PASSED_BYTES
        self.closed = False
        """Never: whoever opened it closes it."""

    def write(self, data: bytes) -> int:
        """Append; how many bytes."""
        written = self._file.write(data)
        if self._file.bytes >= self._next:
            self._mapped.release()
            self._next = self._file.bytes + _PASSED_BYTES
        return written

    def tell(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def flush(self) -> None:
        """Nothing: whoever opened it does that."""
