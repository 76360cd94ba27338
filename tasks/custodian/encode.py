"""Encode: from here on nothing is readable. Zone: custodian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from linkage_core.custodian.encode_evidence import EvidenceSurvey, published_aggregates
from linkage_core.custodian.encode_records import (
    EncodedPart,
    RecordEncoder,
    add_fills,
    encode_bucket,
    split_by_pseudonym,
    survey_buckets,
)
from linkage_core.custodian.field_group_filters import FilterFill
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.protocol.encoded_evidence import EvidenceAggregates
from linkage_core.protocol.evidence_spec import evidence_of
from tasks.custodian.night_folder import NightFolder
from tasks.custodian.normalise import NormalisedIdentifiers
from tasks.custodian.settings import CustodianSite
from tasks.custodian.spool import RecordSpool
from tasks.protocol.stages import announce, stage

PART_ROWS = 8_192
"""Records a part, nearly: what is in memory at once, times the threads, whatever the number of all records."""


@dataclass(frozen=True)
class EncodedDelivery:
    """Records that become encoded part by part, each when it is asked for, with the counts so far.

    Attributes
    ----------
    rows : int
        Records of all parts together.
    parts : sequence of callable
        Each encodes one part, of some :data:`PART_ROWS` records; parts one after the other are in the order of
        pseudonyms. A part depends on the records and keys only: neither on which was asked for before nor on
        where.
    """

    rows: int
    parts: Sequence[Callable[[], EncodedPart]] = field(repr=False)
    survey: EvidenceSurvey = field(repr=False)
    key_check_value: bytes
    normalised: NormalisedIdentifiers


@stage("encode identifiers")
def encode_identifiers(
    normalised: NormalisedIdentifiers, site: CustodianSite, folder: NightFolder
) -> EncodedDelivery:
    """Divide all rows by their pseudonyms into parts, and survey what all of them say together.

    Keyed tokens, diffused filters and rarity bands of a part are computed while it is delivered, so that no more
    than a few parts are ever in memory.
    """
    keys = derive_custodian_keys(site.linkage_key, site.protocol)
    rows = normalised.rows.rows
    survey, parts = survey_and_divide(
        normalised.rows, RecordEncoder(site.protocol, keys, site.site_key), folder
    )
    announce(f"records surveyed: {rows}, to be delivered in {len(parts)} parts")
    return EncodedDelivery(rows, parts, survey, keys.key_check_value, normalised)


def survey_and_divide(
    rows: RecordSpool, encoder: RecordEncoder, folder: NightFolder
) -> tuple[EvidenceSurvey, list[Callable[[], EncodedPart]]]:
    """What all normalised rows say together, and what encodes each part of them; the spool is used up."""
    count = rows.rows
    buckets = divide_by_pseudonym(rows, encoder, folder)
    survey = survey_buckets(buckets, count, encoder)
    return survey, [partial(_encode_and_discard, bucket, encoder, survey) for bucket in buckets]


def divide_by_pseudonym(rows: RecordSpool, encoder: RecordEncoder, folder: NightFolder) -> list[RecordSpool]:
    """Spools of some :data:`PART_ROWS` rows, one after the other in the order of pseudonyms; the first is used up."""
    buckets = [folder.spool(f"bucket-{number:05d}") for number in range(-(-rows.rows // PART_ROWS))]
    for batch in rows:
        for number, records in split_by_pseudonym(batch, len(buckets), encoder):
            buckets[number].write(records)
    rows.discard()
    return buckets


def aggregates_of(
    encoded: EncodedDelivery, fills: Sequence[tuple[FilterFill, ...]], site: CustodianSite
) -> EvidenceAggregates:
    """What is published of all records, once every part was encoded."""
    spec = evidence_of(site.protocol)
    return published_aggregates(encoded.survey, add_fills(fills, len(spec.groups)), spec)


def _encode_and_discard(bucket: RecordSpool, encoder: RecordEncoder, survey: EvidenceSurvey) -> EncodedPart:
    part = encode_bucket(bucket, encoder, survey)
    bucket.discard()
    return part
