"""Encode: from here on nothing is readable. Zone: custodian."""

from __future__ import annotations

from dataclasses import dataclass

from linkage_core.custodian.encode_records import RecordEncoder, encode_batch
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.protocol.encoded_records import (
    EncodedRecords,
    concat_records,
    empty_records,
    sort_by_pseudonym,
)
from tasks.custodian.normalise import NormalisedIdentifiers
from tasks.custodian.settings import CustodianSite
from tasks.protocol.stages import announce, stage


@dataclass(frozen=True)
class EncodedDelivery:
    """Encoded records in the order of their pseudonyms, with the counts so far."""

    records: EncodedRecords
    key_check_value: bytes
    normalised: NormalisedIdentifiers


@stage("encode identifiers")
def encode_identifiers(normalised: NormalisedIdentifiers, site: CustodianSite) -> EncodedDelivery:
    """Keyed filters, blocking values and pseudonyms of all rows, shuffled by pseudonym."""
    keys = derive_custodian_keys(site.linkage_key, site.protocol)
    encoder = RecordEncoder(site.protocol, keys, site.site_key)
    parts = [empty_records(site.protocol.filter_words, len(site.protocol.pass_names))]
    parts += [encode_batch(batch, encoder) for batch in normalised.rows]
    normalised.rows.discard()
    records = sort_by_pseudonym(concat_records(parts))
    announce(f"records encoded: {len(records)}")
    return EncodedDelivery(records, keys.key_check_value, normalised)
