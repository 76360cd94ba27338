"""Encode: from here on nothing is readable. Zone: custodian."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from linkage_core.custodian.encode_records import RecordEncoder, encode_records, no_rows
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.protocol.encoded_evidence import EvidenceAggregates
from linkage_core.protocol.encoded_records import EncodedRecords
from tasks.custodian.normalise import NormalisedIdentifiers
from tasks.custodian.settings import CustodianSite
from tasks.protocol.stages import announce, stage


@dataclass(frozen=True)
class EncodedDelivery:
    """Encoded records in the order of their pseudonyms, with the counts so far."""

    records: EncodedRecords
    aggregates: EvidenceAggregates
    key_check_value: bytes
    normalised: NormalisedIdentifiers


@stage("encode identifiers")
def encode_identifiers(normalised: NormalisedIdentifiers, site: CustodianSite) -> EncodedDelivery:
    """Keyed tokens, diffused filters and pseudonyms of all rows, shuffled by pseudonym, and published rates.

    Rarity and rates need all records at once: here alone the whole delivery is in memory, with the shipped
    protocol about 4 kB a record at the peak.
    """
    keys = derive_custodian_keys(site.linkage_key, site.protocol)
    rows = pa.concat_batches([no_rows(site.protocol), *normalised.rows])
    records, aggregates = encode_records(rows, RecordEncoder(site.protocol, keys, site.site_key))
    normalised.rows.discard()
    announce(f"records encoded: {len(records)}")
    return EncodedDelivery(records, aggregates, keys.key_check_value, normalised)
