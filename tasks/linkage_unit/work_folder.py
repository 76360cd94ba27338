"""The linkage unit's working files: columns of the deliveries, and chunks of the night's work. Zone: linkage_unit.

Layout of ``state_folder``: ``columns-<digest>/`` a custodian's records as they stand after a delivery, one plain file
a column; ``kept-<digest>/`` and ``changes-<digest>/`` what those are made from when only changes were delivered;
``night-<digest>/`` with ``job.json``, all that the work depends on, and a file for each chunk that is done. The
digests are over the signed manifest, and over ``job.json``. Nothing there is readable: encodings, numbers of rows,
scores. All files are the linkage unit's alone (0600), and go when the night is published; what a night that failed left
goes when the next one begins.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.trained_model import TrainedModel
from linkage_core.protocol.delivery_manifest import DeliveryManifest
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates
from linkage_core.protocol.encoded_records import PSEUDONYM_DTYPE, EncodedRecords
from linkage_core.protocol.evidence_spec import EvidenceSpec, evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_from_document
from linkage_core.protocol.record_state import ROW_DIGEST_DTYPE, StateRows
from tasks.linkage_unit.chunk_files import Chunk, read_chunk, unwritable, write_chunk
from tasks.protocol.code_version import code_version

STATE_COLUMNS = ("delivered", "row_digests")
"""Beside what is compared: each record as its custodian named it and its row's digest, erased or not."""
_AGGREGATES = TypeAdapter(EvidenceAggregates)
ERASED = "erased"
"""In a folder of columns: a digest of the pseudonyms that were erased when it was written."""
_FOLDER_NAME = re.compile(r"^(columns|kept|changes|night)-[0-9a-f]{32}(\.partial)?$")


@dataclass(frozen=True)
class ColumnLayout:
    """Columns of one delivery: name, dtype, and numbers a row."""

    columns: tuple[tuple[str, np.dtype[Any], int], ...]

    @classmethod
    def of(cls, spec: EvidenceSpec) -> ColumnLayout:
        """The layout under a protocol."""
        words, byte = np.dtype(np.uint64), np.dtype(np.uint8)
        filters = [(f"filter_{group.name}", words, group.sent_bits // 64) for group in spec.groups]
        sizes = [("pseudonyms", PSEUDONYM_DTYPE, 1), ("tokens", words, len(spec.tokens)), *filters]
        return cls((*sizes, ("rarity", byte, len(spec.fields)), ("sex", byte, 1)))


class ColumnWriter:
    """Appends records part by part; the columns exist when all parts are written."""

    def __init__(self, path: Path, spec: EvidenceSpec) -> None:
        self._spec = spec
        self._path = path
        self._partial = self._path.with_name(f"{self._path.name}.partial")
        self._rows = 0
        try:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise unwritable("a folder of columns", error) from None

    def append(self, records: EncodedRecords, state: StateRows) -> None:
        """The next records, and their rows of the state; E-CHUNK-FILE when the disk is full."""
        evidence = records.evidence
        arrays = (
            records.record_pseudonyms, evidence.tokens, *evidence.group_filters, evidence.rarity, evidence.sex
        )  # fmt: skip
        names = [*(name for name, _, _ in ColumnLayout.of(self._spec).columns), *STATE_COLUMNS]
        for name, array in zip(names, (*arrays, state.pseudonyms, state.digests), strict=True):
            try:
                descriptor = os.open(self._partial / name, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
                with open(descriptor, "ab") as file:
                    file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            except OSError as error:
                raise unwritable(f"the column {name}", error) from None
        self._rows += len(records)

    def finish(self, erased: Collection[str] = ()) -> None:
        """Let the columns exist; ``erased`` names the records of which nothing was written.

        Chunks that a run before made from records that were not erased then go: resuming from them would link them.
        """
        note = hashlib.sha256("\n".join(sorted(erased)).encode()).hexdigest()
        before = self._path / ERASED
        if before.is_file() and before.read_text(encoding="ascii") != note:
            remove_nights(self._path.parent)
        try:
            (self._partial / ERASED).write_text(note, encoding="ascii")
            # A former receive of the same delivery may still be mapped: its files stay with whoever maps them.
            shutil.rmtree(self._path, ignore_errors=True)
            self._partial.rename(self._path)
        except OSError as error:
            raise unwritable("a folder of columns", error) from None


def map_state(folder: Path, rows: int) -> StateRows:
    """The rows of the state whose records lie in a folder of columns."""
    pseudonyms, digests = STATE_COLUMNS
    return StateRows(
        _mapped(folder / pseudonyms, PSEUDONYM_DTYPE, (rows, 1)).reshape(-1),
        _mapped(folder / digests, ROW_DIGEST_DTYPE, (rows, 1)).reshape(-1),
    )


def columns_folder(state_folder: Path, manifest_sha256: str) -> Path:
    """Where the records lie as they stand after a delivery."""
    return state_folder / f"columns-{manifest_sha256[:32]}"


def kept_folder(state_folder: Path, manifest_sha256: str) -> Path:
    """Where those lie that were kept after a delivery, once they are opened."""
    return state_folder / f"kept-{manifest_sha256[:32]}"


def changes_folder(state_folder: Path, manifest_sha256: str) -> Path:
    """Where those lie that a delivery of changes brings."""
    return state_folder / f"changes-{manifest_sha256[:32]}"


def map_columns(folder: Path, spec: EvidenceSpec, rows: int) -> EncodedRecords:
    """All records of a delivery; only the pages that are looked at take memory, and the system may drop them."""
    return _records([_mapped(folder / n, d, (rows, w)) for n, d, w in ColumnLayout.of(spec).columns])


def read_columns(folder: Path, spec: EvidenceSpec, start: int, stop: int) -> EncodedRecords:
    """Some consecutive records, read into memory of their own."""
    names = [name for name, _, _ in ColumnLayout.of(spec).columns]
    return _records([read_column(folder, spec, name, start, stop) for name in names])


def read_column(folder: Path, spec: EvidenceSpec, name: str, start: int, stop: int) -> npt.NDArray[Any]:
    """One column of some consecutive records, shape (stop - start, width)."""
    dtype, width = next((d, w) for n, d, w in ColumnLayout.of(spec).columns if n == name)
    offset = start * width * dtype.itemsize
    with _reading(f"the column {name}"):
        array = np.fromfile(folder / name, dtype, (stop - start) * width, offset=offset)
        return array.reshape(stop - start, width)


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    if 0 in shape:
        return np.empty(shape, dtype)
    with _reading(f"the column {path.name}"):
        return np.memmap(path, dtype, "r", shape=shape).view(np.ndarray)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """E-CHUNK-FILE for a working file that is gone, cut short or not to be read.

    A run that slept while a newer one published finds its files removed; the ledger's fence refuses it as well.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: shorter than it was written
        how = error.strerror if isinstance(error, OSError) else "cut short"
    else:
        return
    raise NightlinkError(
        "E-CHUNK-FILE",
        found=f"{what} of the night's work cannot be read ({how})",
        expected="working files that nobody removes while a run is at work",
        remedy="A newer run may have ended meanwhile and removed them. Run the night again if it is missing.",
        transient=True,
    )


def _records(arrays: list[npt.NDArray[Any]]) -> EncodedRecords:
    pseudonyms, tokens, *filters, rarity, sex = arrays
    evidence = EncodedEvidence(tokens, tuple(filters), rarity, sex.reshape(-1))
    return EncodedRecords(pseudonyms.reshape(-1), evidence)


@dataclass(frozen=True)
class JobSide:
    """One delivery, as the work needs it."""

    manifest_sha256: str
    rows: int
    aggregates: EvidenceAggregates


@dataclass(frozen=True)
class Job:
    """A night's work: what it depends on, and where its chunks lie."""

    state_folder: Path
    protocol: LinkageProtocol
    code_version: str
    chunk_records: int
    sides: tuple[JobSide, JobSide]
    known_links_sha256: str | None = None
    trained: TrainedModel | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the work depends on."""
        return hashlib.sha256(self.description).hexdigest()

    @cached_property
    def description(self) -> bytes:
        """``job.json``; the same inputs give the same bytes."""
        sides = [
            {
                "manifest_sha256": side.manifest_sha256,
                "rows": side.rows,
                "aggregates": _AGGREGATES.dump_python(side.aggregates, mode="json"),
            }
            for side in self.sides
        ]
        document = {
            "format": "nightlink-job-1",
            "code_version": self.code_version,
            "chunk_records": self.chunk_records,
            "protocol": self.protocol.model_dump(mode="json"),
            "sides": sides,
            "known_links_sha256": self.known_links_sha256,
            "trained": self.trained and self.trained.model_dump(mode="json"),
        }
        return json.dumps(document, sort_keys=True).encode()

    @property
    def folder(self) -> Path:
        """Where the chunks lie."""
        return self.state_folder / f"night-{self.digest[:32]}"

    @cached_property
    def spec(self) -> EvidenceSpec:
        """The protocol's evidence."""
        return evidence_of(self.protocol)

    @property
    def chunks(self) -> int:
        """Chunks of pairs, each of ``chunk_records`` records of the first side."""
        return -(-self.sides[0].rows // self.chunk_records)

    def rows_of(self, number: int) -> tuple[int, int]:
        """First and last but one record of the first side in a chunk."""
        start = number * self.chunk_records
        return start, min(start + self.chunk_records, self.sides[0].rows)

    def columns(self, side: int) -> Path:
        """Where the columns of a side lie."""
        return columns_folder(self.state_folder, self.sides[side].manifest_sha256)

    def read(self, stage: str, number: int = 0) -> Chunk | None:
        """A chunk that is done; None when it is not, or not whole."""
        return read_chunk(self._path(stage, number), self._made_from(stage, number))

    def write(self, stage: str, number: int, chunk: Chunk) -> None:
        """Record a chunk as done."""
        write_chunk(self._path(stage, number), self._made_from(stage, number), chunk)

    def _path(self, stage: str, number: int) -> Path:
        return self.folder / f"{stage}-{number:06d}.chunk"

    def _made_from(self, stage: str, number: int) -> str:
        return f"{self.digest} {stage} {number}"


def begin_job(job: Job) -> None:
    """Make the job's folder, with its description; what is there already stays."""
    try:
        job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = job.folder / ".job.json.partial"
        with open(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(job.description)
        partial.rename(job.folder / "job.json")
    except OSError as error:
        raise unwritable("job.json", error) from None


def open_job(folder: Path) -> Job:
    """The job whose folder this is, as another process reads it."""
    with _reading("job.json"):
        document = json.loads((folder / "job.json").read_bytes())
    sides = [
        JobSide(s["manifest_sha256"], s["rows"], _AGGREGATES.validate_python(s["aggregates"], strict=False))
        for s in document["sides"]
    ]
    return Job(
        folder.parent,
        protocol_from_document(document["protocol"]),
        document["code_version"],
        document["chunk_records"],
        (sides[0], sides[1]),
        document["known_links_sha256"],
        None if document["trained"] is None else TrainedModel.model_validate(document["trained"]),
    )


def job_of(
    state_folder: Path,
    protocol: LinkageProtocol,
    chunk_records: int,
    deliveries: tuple[tuple[DeliveryManifest, str], tuple[DeliveryManifest, str]],
    known_links_sha256: str | None = None,
    trained: TrainedModel | None = None,
) -> Job:
    """The job of linking two deliveries, each given as manifest and digest, with this code, links and model."""
    first, second = (JobSide(sha256, m.row_count, m.aggregates) for m, sha256 in deliveries)
    sides = (first, second)
    return Job(state_folder, protocol, code_version(), chunk_records, sides, known_links_sha256, trained)


def remove_nights(state_folder: Path) -> None:
    """Remove the chunks of all nights; columns stay."""
    for entry in state_folder.glob("night-*"):
        if _FOLDER_NAME.match(entry.name):
            shutil.rmtree(entry, ignore_errors=True)


def remove_work(state_folder: Path, keep: tuple[str, ...] = ()) -> None:
    """Remove the working files of all nights, but the folders named ``keep``."""
    for entry in state_folder.iterdir() if state_folder.is_dir() else ():
        if _FOLDER_NAME.match(entry.name) and entry.name not in keep:
            shutil.rmtree(entry, ignore_errors=True)
