"""Normalised records to what leaves the custodian. Zone: custodian."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.encode_evidence import (
    SAMPLE_RECORDS,
    EvidenceEncoder,
    EvidenceSurvey,
    encode_surveyed,
    evidence_encoder,
    published_aggregates,
    survey_evidence,
)
from linkage_core.custodian.field_aggregates import RANDOM_PAIRS
from linkage_core.custodian.field_group_filters import FilterFill
from linkage_core.custodian.key_derivation import CustodianKeys
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.custodian.text_columns import SOURCE_ID
from linkage_core.protocol.encoded_evidence import EvidenceAggregates
from linkage_core.protocol.encoded_records import EncodedRecords, pseudonym_order
from linkage_core.protocol.linkage_protocol import LinkageProtocol

SEED_OF_RANDOM_PAIRS = 0
"""Rows are in the order of keyed hashes by then: any seed draws pairs as random as another."""


@dataclass(frozen=True)
class RecordEncoder:
    """All that an encoding depends on besides the records; ``repr`` shows no key."""

    protocol: LinkageProtocol
    keys: CustodianKeys = field(repr=False)
    site_key: bytes = field(repr=False)

    @cached_property
    def evidence(self) -> EvidenceEncoder:
        """What is derived once for all records."""
        return evidence_encoder(self.protocol, self.keys)


@dataclass(frozen=True)
class EncodedPart:
    """Some encoded records in the order of their pseudonyms, the fill of their groups' filters, and their rows.

    ``rows`` are the normalised rows of the same records in the same order, for the commitment to them; they stay here.
    """

    records: EncodedRecords
    fills: tuple[FilterFill, ...]
    rows: pa.RecordBatch = field(repr=False)


def encode_records(
    normalised: pa.RecordBatch, encoder: RecordEncoder, *, random_pairs: int = RANDOM_PAIRS
) -> tuple[EncodedRecords, EvidenceAggregates]:
    """Encode all of a custodian's records, in the order of their pseudonyms, whatever the order of the rows.

    What is encoded in buckets (:func:`split_by_pseudonym`, :func:`survey_buckets`, :func:`encode_bucket`) is the
    same to the bit, and needs memory for a bucket only. Here all is in memory at once.

    Parameters
    ----------
    normalised : RecordBatch
        ``source_id`` without nulls, and the protocol's fields (a field without a column has no values).

    Raises
    ------
    NightlinkError
        E-INPUT when a source id is missing or a column is not normalised text.
    """
    survey = survey_buckets([[normalised]], normalised.num_rows, encoder, random_pairs=random_pairs)
    part = encode_bucket([normalised], encoder, survey)
    return part.records, published_aggregates(survey, part.fills, encoder.evidence.spec)


def split_by_pseudonym(
    batch: pa.RecordBatch, buckets: int, encoder: RecordEncoder
) -> list[tuple[int, pa.RecordBatch]]:
    """The batch's rows by bucket: bucket ``b`` of ``B`` holds the pseudonyms from b / B to (b + 1) / B of all.

    Buckets one after the other, each in the order of its pseudonyms, are the order of a delivery.
    """
    first_bytes = np.ascontiguousarray(_pseudonyms(batch, encoder)).view(">u4").reshape(-1, 4)[:, 0]
    bucket = first_bytes.astype(np.uint64) * np.uint64(buckets) >> np.uint64(32)
    order = np.argsort(bucket, kind="stable")
    rows = batch.take(pa.array(order))
    stops = np.cumsum(np.bincount(bucket.astype(np.intp), minlength=buckets))
    starts = stops - np.diff(stops, prepend=0)
    return [
        (b, rows.slice(start, stop - start))
        for b, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True))
        if stop > start
    ]


def survey_buckets(
    buckets: Sequence[Iterable[pa.RecordBatch]],
    rows: int,
    encoder: RecordEncoder,
    *,
    random_pairs: int = RANDOM_PAIRS,
) -> EvidenceSurvey:
    """Survey all records; each bucket's batches are gone through several times.

    Random pairs are drawn among the records with the smallest pseudonyms: keyed hashes, so as random as any.
    """
    sample: list[pa.RecordBatch] = []
    missing = SAMPLE_RECORDS
    for bucket in buckets:
        if missing > 0:
            records, _, order = _with_order(bucket, encoder)
            sample.append(records.take(pa.array(order[:missing])))
            missing -= sample[-1].num_rows
    return survey_evidence(
        _Chained(buckets),
        rows,
        pa.concat_batches(sample or [no_rows(encoder.protocol)]),
        encoder.protocol,
        seed=SEED_OF_RANDOM_PAIRS,
        random_pairs=random_pairs,
    )


def encode_bucket(
    bucket: Iterable[pa.RecordBatch], encoder: RecordEncoder, survey: EvidenceSurvey
) -> EncodedPart:
    """Encode one bucket's records, in the order of their pseudonyms."""
    rows, pseudonyms, order = _with_order(bucket, encoder)
    evidence, fills = encode_surveyed(rows, encoder.evidence, survey, order)
    return EncodedPart(EncodedRecords(pseudonyms[order], evidence), fills, rows.take(pa.array(order)))


def rows_in_order(
    bucket: Iterable[pa.RecordBatch], encoder: RecordEncoder
) -> tuple[pa.RecordBatch, npt.NDArray[np.void]]:
    """A bucket's rows in the order of their pseudonyms, whatever the order in which they came, and these."""
    rows, pseudonyms, order = _with_order(bucket, encoder)
    return rows.take(pa.array(order)), pseudonyms[order]


def add_fills(fills: Iterable[tuple[FilterFill, ...]], groups: int) -> tuple[FilterFill, ...]:
    """The fill of each group's filters over several parts."""
    total = (FilterFill(0, 0),) * groups
    for part in fills:
        total = tuple(a + b for a, b in zip(total, part, strict=True))
    return total


@dataclass(frozen=True)
class _Chained:
    """Batches of several buckets, one after the other, any number of times."""

    buckets: Sequence[Iterable[pa.RecordBatch]]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for bucket in self.buckets:
            yield from bucket


def _with_order(
    bucket: Iterable[pa.RecordBatch], encoder: RecordEncoder
) -> tuple[pa.RecordBatch, npt.NDArray[np.void], npt.NDArray[np.intp]]:
    """The bucket's rows, their pseudonyms, and the order that the pseudonyms give them."""
    batches = list(bucket)
    rows = pa.concat_batches(batches) if batches else no_rows(encoder.protocol)
    pseudonyms = _pseudonyms(rows, encoder)
    return rows, pseudonyms, pseudonym_order(pseudonyms)


def _pseudonyms(batch: pa.RecordBatch, encoder: RecordEncoder) -> npt.NDArray[np.void]:
    protocol = encoder.protocol
    return record_pseudonyms(
        encoder.site_key, batch.column(SOURCE_ID), project=protocol.project, epoch=protocol.key_epoch
    )


def no_rows(protocol: LinkageProtocol) -> pa.RecordBatch:
    """A normalised batch without rows, so that batches can be joined even when there are none."""
    names = (SOURCE_ID, *protocol.field_names)
    return pa.RecordBatch.from_pydict({name: pa.array([], pa.utf8()) for name in names})
