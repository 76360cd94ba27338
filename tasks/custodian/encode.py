"""Encode: from here on nothing is readable. Zone: custodian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

import numpy as np

from linkage_core.custodian.encode_evidence import EvidenceSurvey, published_aggregates
from linkage_core.custodian.encode_records import (
    EncodedPart,
    RecordEncoder,
    add_fills,
    encode_bucket,
    rows_in_order,
    split_by_pseudonym,
    survey_buckets,
)
from linkage_core.custodian.field_group_filters import FilterFill
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.sealed_people import OwnRecords, SealedPeople, household_share, seal_people
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
    buckets : sequence of RecordSpool
        What the parts are encoded from.
    sealed : SealedPeople, optional
        The people among the records who do not exist.
    """

    rows: int
    parts: Sequence[Callable[[], EncodedPart]] = field(repr=False)
    survey: EvidenceSurvey = field(repr=False)
    key_check_value: bytes
    normalised: NormalisedIdentifiers
    buckets: Sequence[RecordSpool] = field(repr=False, default=())
    sealed: SealedPeople | None = None

    @property
    def made_up(self) -> int:
        """How many of the records are people who do not exist."""
        return 0 if self.sealed is None else self.sealed.records.num_rows


@stage("encode identifiers")
def encode_identifiers(
    normalised: NormalisedIdentifiers, site: CustodianSite, folder: NightFolder
) -> EncodedDelivery:
    """Divide all rows by their pseudonyms into parts, and survey what all of them say together.

    Keyed tokens, diffused filters and rarity bands of a part are computed while it is delivered, so that no more
    than a few parts are ever in memory.
    """
    keys = derive_custodian_keys(site.linkage_key, site.protocol)
    rows, encoder = normalised.rows.rows, RecordEncoder(site.protocol, keys, site.site_key)
    survey, buckets = _survey_and_divide(normalised.rows, encoder, folder)
    parts = _parts_of(buckets, encoder, survey)
    announce(f"records surveyed: {rows}, to be delivered in {len(parts)} parts")
    return EncodedDelivery(rows, parts, survey, keys.key_check_value, normalised, buckets)


@stage("add sealed people")
def add_sealed_people(encoded: EncodedDelivery, site: CustodianSite) -> EncodedDelivery:
    """Add the null people and canaries to the records; what is published of all records stays that of the
    real ones. Nothing is added where the settings ask for none, or where no warehouse could be told who they are.
    """
    wanted, real = site.settings.sealed_people, encoded.rows
    if not (wanted.null_people or wanted.canary_pairs) or not encoded.buckets:
        announce("none are asked for")
        return encoded
    keys = derive_custodian_keys(site.linkage_key, site.protocol)
    encoder, most = RecordEncoder(site.protocol, keys, site.site_key), int(real * wanted.most_share)
    sealed = seal_people(
        _own_records(encoded.buckets, encoder),
        site.protocol,
        site.linkage_key,
        custodian=site.name,
        null_people=min(wanted.null_people, most),
        canary_pairs=min(wanted.canary_pairs, most),
        household_share=household_share(chain.from_iterable(encoded.buckets), site.protocol),
    )
    for number, records in split_by_pseudonym(sealed.records, len(encoded.buckets), encoder):
        encoded.buckets[number].write(records)
    rows = real + sealed.records.num_rows
    survey = replace(encoded.survey, records=rows)
    announce(f"people who do not exist: {rows - real}, beside {real} records")
    parts = _parts_of(encoded.buckets, encoder, survey)
    return replace(encoded, rows=rows, parts=parts, survey=survey, sealed=sealed)


def _own_records(buckets: Sequence[RecordSpool], encoder: RecordEncoder) -> OwnRecords:
    """The records of the first bucket: as random as any, since their pseudonyms are keyed hashes."""
    rows, pseudonyms = rows_in_order(buckets[0], encoder)
    heads = np.ascontiguousarray(pseudonyms).view(">u8").reshape(-1, 2)[:, 0]
    return OwnRecords(rows, heads / 2.0**64 * len(buckets))


def survey_and_divide(
    rows: RecordSpool, encoder: RecordEncoder, folder: NightFolder
) -> tuple[EvidenceSurvey, list[Callable[[], EncodedPart]]]:
    """What all normalised rows say together, and what encodes each part of them; the spool is used up."""
    survey, buckets = _survey_and_divide(rows, encoder, folder)
    return survey, _parts_of(buckets, encoder, survey)


def _survey_and_divide(
    rows: RecordSpool, encoder: RecordEncoder, folder: NightFolder
) -> tuple[EvidenceSurvey, list[RecordSpool]]:
    count = rows.rows
    buckets = divide_by_pseudonym(rows, encoder, folder)
    return survey_buckets(buckets, count, encoder), buckets


def _parts_of(
    buckets: Sequence[RecordSpool], encoder: RecordEncoder, survey: EvidenceSurvey
) -> list[Callable[[], EncodedPart]]:
    return [partial(_encode_and_discard, bucket, encoder, survey) for bucket in buckets]


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
