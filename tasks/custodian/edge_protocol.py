"""People to Nightlink's own encodings, by a linkage protocol, without a night around it. Zone: custodian."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from linkage_core.custodian.encode_evidence import published_aggregates
from linkage_core.custodian.encode_records import RecordEncoder, add_fills
from linkage_core.custodian.field_rules import RowVerdicts, accepted_rows, check_rows, reject_seen_ids
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.protocol.linkage_protocol import REQUIRED_FIELDS, LinkageProtocol
from linkage_core.protocol.wire_format import stream_part
from tasks.custodian.edge_input import Columns, People
from tasks.custodian.edge_progress import Progress
from tasks.custodian.edge_schema import EdgeCounts
from tasks.custodian.encode import survey_and_divide
from tasks.custodian.mapped_records import MappedRecords, ReleasingFile
from tasks.custodian.night_folder import NightFolder
from tasks.custodian.part_threads import in_order, usable_threads
from tasks.custodian.reasons_file import ReasonsFile, breaches_of
from tasks.custodian.source_rows import SourceBatch
from tasks.protocol.output_files import DigestedFile

SOURCE_ID = "source_id"


@dataclass(frozen=True)
class ProtocolRules:
    """Protocol, the source's conventions, and the names of its columns by field."""

    protocol: LinkageProtocol
    source_format: SourceFormat
    column_of: dict[str, str] = field(default_factory=dict)
    as_of: date | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """source_id and the protocol's fields."""
        return (SOURCE_ID, *self.protocol.field_names)

    def columns(self) -> Columns:
        """The source's columns in the order of :attr:`fields`."""
        names = {name: self.column_of.get(name, name) for name in self.fields}
        required = {SOURCE_ID, *REQUIRED_FIELDS, *self.column_of}
        return Columns(tuple(names.values()), tuple(names[name] for name in names if name not in required))


def encode_protocol_file(
    people: People,
    rules: ProtocolRules,
    encoder: RecordEncoder,
    output: DigestedFile,
    reasons: ReasonsFile,
    tell: Progress,
) -> tuple[EdgeCounts, dict[str, int]]:
    """Write one part in the wire format, shuffled by pseudonym; the counts, and missing values by field.

    The stages are a night's: normalised rows wait in encrypted spools and are encoded bucket by bucket, so that memory
    is bounded by a bucket. A part's columns stand one after the other, so what was encoded waits in files that memory
    only looks into; they hold what leaves, and are gone when the command ends.
    """
    with tempfile.TemporaryDirectory(prefix=".nightlink-", dir=output.folder) as name:
        folder = NightFolder(Path(name))
        normalised = folder.spool("normalised")
        read, missing = normalise_people(people, rules, reasons, tell, normalised.write)
        rows = normalised.rows
        survey, parts = survey_and_divide(normalised, encoder, folder)
        spec = encoder.evidence.spec
        encoded, fills = MappedRecords(spec, rows, Path(name)), []
        for part in in_order(lambda encode: encode(), parts, usable_threads()):
            encoded.append(part.records)
            fills.append(part.fills)
        aggregates = published_aggregates(survey, add_fills(fills, len(spec.groups)), spec)
        stream_part(encoded.records, rules.protocol, ReleasingFile(output, encoded))
    return EdgeCounts(read, rows, float(np.mean(aggregates.filter_fill))), missing


def normalise_people(
    people: People,
    rules: ProtocolRules,
    reasons: ReasonsFile,
    tell: Progress,
    put: Callable[[pa.RecordBatch], None],
) -> tuple[int, dict[str, int]]:
    """Put every batch of sound rows, normalised, somewhere; how many rows were read; missing values by field."""
    missing: Counter[str] = Counter()
    seen: set[bytes] = set()
    read = 0
    for batch in people.batches:
        records, verdicts = _judge(batch, rules, seen)
        reasons.add(batch, breaches_of(verdicts))
        normalised = normalise_batch(
            accepted_rows(records, verdicts), rules.protocol, rules.source_format, rules.as_of
        )
        missing.update(normalised.missing)
        put(normalised.records)
        read += len(batch.row_numbers) + len(batch.misfits)
        tell(read, batch.bytes_read)
    return read, dict(missing)


def check_protocol_people(
    people: People, rules: ProtocolRules, reasons: ReasonsFile, tell: Progress
) -> EdgeCounts:
    """Judge every row without any key."""
    read = sound = 0
    seen: set[bytes] = set()
    for batch in people.batches:
        _, verdicts = _judge(batch, rules, seen)
        reasons.add(batch, breaches_of(verdicts))
        read += len(batch.row_numbers) + len(batch.misfits)
        sound += int(np.count_nonzero(verdicts.accepted))
        tell(read, batch.bytes_read)
    return EdgeCounts(read, sound)


def _judge(batch: SourceBatch, rules: ProtocolRules, seen: set[bytes]) -> tuple[pa.RecordBatch, RowVerdicts]:
    records = pa.RecordBatch.from_arrays(list(batch.columns), names=list(rules.fields))
    verdicts = reject_seen_ids(check_rows(records, rules.protocol, rules.source_format, rules.as_of), seen)
    seen.update(digest.tobytes() for digest in verdicts.id_digests)
    return records, verdicts
