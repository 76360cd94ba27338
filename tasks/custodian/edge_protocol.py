"""People to Nightlink's own encodings, by a linkage protocol, without a night around it. Zone: custodian."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa

from linkage_core.custodian.encode_records import RecordEncoder, encode_records, no_rows
from linkage_core.custodian.field_rules import RowVerdicts, accepted_rows, check_rows, reject_seen_ids
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.protocol.linkage_protocol import REQUIRED_FIELDS, LinkageProtocol
from linkage_core.protocol.wire_format import write_part
from tasks.custodian.edge_input import Columns, People
from tasks.custodian.edge_progress import Progress
from tasks.custodian.edge_schema import EdgeCounts
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

    All normalised rows are held at once, since rarity bands need them.
    """
    normalised, read, missing = normalised_people(people, rules, reasons, tell)
    encoded, aggregates = encode_records(normalised, encoder)
    fill = float(np.mean(aggregates.filter_fill))
    output.write(write_part(encoded, rules.protocol))
    return EdgeCounts(read, len(encoded), fill), missing


def normalised_people(
    people: People, rules: ProtocolRules, reasons: ReasonsFile, tell: Progress
) -> tuple[pa.RecordBatch, int, dict[str, int]]:
    """All sound rows, normalised, in one batch; how many rows were read; missing values by field."""
    protocol = rules.protocol
    parts = [no_rows(protocol)]
    missing: Counter[str] = Counter()
    seen: set[bytes] = set()
    read = 0
    for batch in people.batches:
        records, verdicts = _judge(batch, rules, seen)
        reasons.add(batch, breaches_of(verdicts))
        normalised = normalise_batch(
            accepted_rows(records, verdicts), protocol, rules.source_format, rules.as_of
        )
        missing.update(normalised.missing)
        parts.append(normalised.records)
        read += len(batch.row_numbers) + len(batch.misfits)
        tell(read, batch.bytes_read)
    return pa.concat_batches(parts), read, dict(missing)


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
