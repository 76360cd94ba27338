"""Normalised records to what leaves the custodian. Zone: custodian."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from linkage_core.custodian.encode_evidence import encode_evidence
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


def encode_records(
    normalised: pa.RecordBatch, encoder: RecordEncoder
) -> tuple[EncodedRecords, EvidenceAggregates]:
    """Encode all of a custodian's records, in the order of their pseudonyms, whatever the order of the rows.

    Rarity and rates are properties of all records, so they come in one batch. Memory: with the shipped
    protocol about 1.6 kB a record in the result, and at most as much again beside it.

    Parameters
    ----------
    normalised : RecordBatch
        ``source_id`` without nulls, and the protocol's fields (a field without a column has no values).

    Raises
    ------
    NightlinkError
        E-INPUT when a source id is missing or a column is not normalised text.
    """
    protocol = encoder.protocol
    pseudonyms = record_pseudonyms(
        encoder.site_key, normalised.column(SOURCE_ID), project=protocol.project, epoch=protocol.key_epoch
    )
    order = pseudonym_order(pseudonyms)
    evidence, aggregates = encode_evidence(
        normalised.take(pa.array(order)), protocol, encoder.keys, seed=SEED_OF_RANDOM_PAIRS
    )
    return EncodedRecords(pseudonyms[order], evidence), aggregates


def no_rows(protocol: LinkageProtocol) -> pa.RecordBatch:
    """A normalised batch without rows, so that batches can be joined even when there are none."""
    names = (SOURCE_ID, *protocol.field_names)
    return pa.RecordBatch.from_pydict({name: pa.array([], pa.utf8()) for name in names})
