"""People to CLKs by a linkage schema of clkhash: the file that its own command would write. Zone: custodian."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linkage_core.custodian.clk_encoder import ClkEncoder, check_records, encode_clks
from linkage_core.protocol.linkage_schema import LinkageSchema, XorFolds, parse_linkage_schema
from tasks.custodian.edge_input import Columns, People
from tasks.custodian.edge_progress import Progress
from tasks.custodian.reasons_file import Breach, ReasonsFile, breaches_of
from tasks.protocol.output_files import DigestedFile
from tasks.protocol.settings_files import wrong_settings


@dataclass(frozen=True)
class EdgeCounts:
    """What became of the rows; ``fill`` is the mean share of set bits over the filters."""

    read: int
    encoded: int
    fill: float = 0.0


def read_schema(path: Path, xor_folds: XorFolds) -> LinkageSchema:
    """The linkage schema at ``path``; E-SETTINGS when unreadable, E-PROTOCOL when wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise wrong_settings(path, "a linkage schema that cannot be read") from None
    return parse_linkage_schema(text, xor_folds)


def schema_columns(schema: LinkageSchema) -> Columns:
    """The schema's columns in their order; from a Parquet file or a database ignored ones may be missing."""
    return Columns(
        names=tuple(feature.identifier for feature in schema.features),
        optional=tuple(feature.identifier for feature in schema.features if feature.ignored),
        by_position=True,
    )


def encode_clk_file(
    people: People, encoder: ClkEncoder, output: DigestedFile, reasons: ReasonsFile, tell: Progress
) -> EdgeCounts:
    """Write ``{"clks": [...]}``, base64 in the order of the accepted rows."""
    read = encoded = bits_set = 0
    output.write(b'{"clks": [')
    for batch in people.batches:
        read += len(batch.row_numbers) + len(batch.misfits)
        breaches: list[Breach] = []
        for first in range(0, len(batch.row_numbers), encoder.rows_a_batch):
            piece = encode_clks(
                [column.slice(first, encoder.rows_a_batch) for column in batch.columns], encoder
            )
            verdicts = piece.verdicts
            breaches += breaches_of(verdicts, first)
            if len(piece.clks):
                output.write((b", " if encoded else b"") + b", ".join(_quoted_base64(piece.clks)))
            encoded += len(piece.clks)
            bits_set += int(np.bitwise_count(piece.clks).sum(dtype=np.int64))
        reasons.add(batch, breaches)
        tell(read, batch.bytes_read)
    output.write(b"]}")
    return EdgeCounts(read, encoded, bits_set / (encoded * encoder.schema.bits) if encoded else 0.0)


def check_people(
    people: People, schema: LinkageSchema, reasons: ReasonsFile, tell: Progress, *, check: bool
) -> EdgeCounts:
    """Judge every row without any key."""
    read = sound = 0
    for batch in people.batches:
        verdicts = check_records(batch.columns, schema, check=check)
        reasons.add(batch, breaches_of(verdicts))
        read += len(batch.row_numbers) + len(batch.misfits)
        sound += int(verdicts.accepted.sum())
        tell(read, batch.bytes_read)
    return EdgeCounts(read, sound)


def _quoted_base64(clks: np.ndarray) -> Iterator[bytes]:
    data, size = clks.tobytes(), clks.shape[1]
    return (
        b'"' + binascii.b2a_base64(data[at : at + size], newline=False) + b'"'
        for at in range(0, len(data), size)
    )
