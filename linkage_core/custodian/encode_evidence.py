"""Normalised batches to encoded evidence and its published aggregates. Zone: custodian.

Rarity and rates are properties of all of a custodian's records, so evidence is encoded for the whole delivery
at once, not batch by batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.blocking_keys import coding_functions
from linkage_core.custodian.field_aggregates import RANDOM_PAIRS, level_rates
from linkage_core.custodian.field_columns import FieldColumn, FieldColumns, field_columns
from linkage_core.custodian.field_group_filters import encode_group
from linkage_core.custodian.key_derivation import CustodianKeys
from linkage_core.custodian.nickname_table import load_formal_names
from linkage_core.custodian.rarity_bands import rarity_bands
from linkage_core.custodian.tokens import encode_tokens
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates, FieldAggregate
from linkage_core.protocol.evidence_spec import SEX, evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol

SEX_CODES: Mapping[str, int] = {"f": 1, "m": 2, "x": 3}


def encode_evidence(
    records: pa.RecordBatch,
    protocol: LinkageProtocol,
    keys: CustodianKeys,
    *,
    seed: int,
    random_pairs: int = RANDOM_PAIRS,
) -> tuple[EncodedEvidence, EvidenceAggregates]:
    """Encode all of a custodian's records; row order is kept.

    Parameters
    ----------
    records : RecordBatch
        Normalised columns.
    seed : int
        Of the random pairs behind the aggregates.

    Raises
    ------
    ProtocolError
        E-PROTOCOL when this installation has not the protocol's nickname table.
    """
    spec, field_specs = evidence_of(protocol), {field.name: field for field in protocol.fields}
    rows = records.num_rows
    functions = coding_functions(load_formal_names(protocol.nickname_table))
    columns = field_columns(records, spec.fields, functions)
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
