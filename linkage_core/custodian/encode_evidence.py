"""Normalised batches to encoded evidence and its published aggregates. Zone: custodian.

Rarity and rates are properties of all of a custodian's records, so evidence is encoded for the whole delivery
at once, not batch by batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import rfc8785

from linkage_core.custodian.field_aggregates import RANDOM_PAIRS, level_rates
from linkage_core.custodian.field_columns import FieldColumn, FieldColumns, field_columns
from linkage_core.custodian.field_group_filters import GroupFilterKeys, encode_group
from linkage_core.custodian.key_derivation import derive_key
from linkage_core.custodian.rarity_bands import rarity_bands
from linkage_core.custodian.tokens import encode_tokens
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates, FieldAggregate
from linkage_core.protocol.evidence_spec import SEX, EvidenceSpec
from linkage_core.protocol.linkage_protocol import FieldSpec, LinkageProtocol, protocol_fingerprint

SEX_CODES: Mapping[str, int] = {"f": 1, "m": 2, "x": 3}


@dataclass(frozen=True)
class EvidenceKeys:
    """A key for each token and each filter; ``repr`` shows none."""

    tokens: Mapping[str, bytes] = field(repr=False)
    groups: Mapping[str, GroupFilterKeys] = field(repr=False)


def derive_evidence_keys(linkage_key: bytes, protocol: LinkageProtocol, spec: EvidenceSpec) -> EvidenceKeys:
    """Derive every key of the evidence from the custodians' shared linkage key.

    The spec's digest is in every context, beside the protocol's fingerprint: two sides that differ in one
    definition get unrelated evidence.
    """
    digest = sha256(rfc8785.dumps(asdict(spec))).hexdigest()
    context = (protocol.project, protocol.key_epoch)
    fingerprint = protocol_fingerprint(protocol) + digest

    def key_for(role: str, purpose: str) -> bytes:
        return derive_key(linkage_key, (*context, role, purpose, fingerprint))

    return EvidenceKeys(
        tokens={token.name: key_for("token", token.name) for token in spec.tokens},
        groups={
            group.name: GroupFilterKeys(
                {name: key_for("group-filter", f"{group.name}/{name}") for name in group.fields},
                key_for("diffusion", group.name),
            )
            for group in spec.groups
        },
    )


def encode_evidence(
    records: pa.RecordBatch,
    spec: EvidenceSpec,
    field_specs: Mapping[str, FieldSpec],
    keys: EvidenceKeys,
    *,
    seed: int,
    random_pairs: int = RANDOM_PAIRS,
) -> tuple[EncodedEvidence, EvidenceAggregates]:
    """Encode all of a custodian's records; row order is kept.

    Parameters
    ----------
    records : RecordBatch
        Normalised columns.
    field_specs : mapping of str to FieldSpec
        Of every field of the spec (their kinds and q-grams).
    seed : int
        Of the random pairs behind the aggregates.
    """
    rows = records.num_rows
    columns = field_columns(records, spec.fields)
    encoded = [
        encode_group(columns, group, field_specs, keys.groups[group.name], rows) for group in spec.groups
    ]
    bands = [rarity_bands(columns[name], spec.rarity_edges) for name in spec.fields]
    rates = level_rates(columns, spec, field_specs, seed=seed, random_pairs=random_pairs)
    rarity = np.empty((rows, len(spec.fields)), np.uint8)
    for f, band in enumerate(bands):
        rarity[:, f] = band.band_of_row
    evidence = EncodedEvidence(
        encode_tokens(columns, spec.tokens, keys.tokens, rows),
        tuple(group.filters for group in encoded),
        rarity,
        _sex_codes(columns, rows),
    )
    fields = tuple(FieldAggregate(r, b.agreement) for r, b in zip(rates, bands, strict=True))
    return evidence, EvidenceAggregates(rows, fields, tuple(group.fill for group in encoded))


def _sex_codes(columns: FieldColumns, rows: int) -> npt.NDArray[np.uint8]:
    column = columns.get(SEX, FieldColumn(np.full(rows, -1, np.intp), pa.array([], pa.utf8())))
    codes = [SEX_CODES.get(value, 0) for value in column.values.to_pylist()]
    return np.array([*codes, 0], np.uint8)[column.value_of_row]
