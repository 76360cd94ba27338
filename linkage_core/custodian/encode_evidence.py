"""Normalised batches to encoded evidence and its published aggregates. Zone: custodian.

Rarity and rates are properties of all of a custodian's records: a survey goes over all of them first, and what stays
of it is small. Then any records can be encoded by themselves; the result does not depend on how they are divided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.blocking_keys import coding_functions
from linkage_core.custodian.field_aggregates import RANDOM_PAIRS, level_rates
from linkage_core.custodian.field_columns import (
    CodingFunctions,
    FieldColumn,
    FieldColumns,
    field_columns,
)
from linkage_core.custodian.field_group_filters import FilterFill, encode_group
from linkage_core.custodian.filter_hardening import hardening_table
from linkage_core.custodian.key_derivation import CustodianKeys
from linkage_core.custodian.nickname_table import load_formal_names
from linkage_core.custodian.tokens import encode_tokens
from linkage_core.custodian.value_survey import SURVEY_MEMORY_BYTES, ValueSurvey, survey_values
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates, FieldAggregate
from linkage_core.protocol.evidence_spec import SEX, EvidenceSpec, evidence_of
from linkage_core.protocol.linkage_protocol import FieldSpec, LinkageProtocol

SEX_CODES: Mapping[str, int] = {"f": 1, "m": 2, "x": 3}

SAMPLE_RECORDS = 1 << 17
"""Records among which random pairs are drawn, at most; rates of exact agreement are over all records."""


@dataclass(frozen=True)
class EvidenceSurvey:
    """What all records together say; every record is encoded by it."""

    records: int
    values: Mapping[str, ValueSurvey]
    level_rates: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class EvidenceEncoder:
    """All that the evidence of a record depends on besides the record and the survey; ``repr`` shows no key."""

    spec: EvidenceSpec
    field_specs: Mapping[str, FieldSpec]
    functions: CodingFunctions = field(repr=False)
    keys: CustodianKeys = field(repr=False)
    tables: tuple[npt.NDArray[np.uint16] | None, ...] = field(repr=False)


def evidence_encoder(protocol: LinkageProtocol, keys: CustodianKeys) -> EvidenceEncoder:
    """Derive once what every batch needs.

    Raises
    ------
    ProtocolError
        E-PROTOCOL when this installation has not the protocol's nickname table.
    """
    spec = evidence_of(protocol)
    return EvidenceEncoder(
        spec,
        {field_spec.name: field_spec for field_spec in protocol.fields},
        _coding_functions(protocol),
        keys,
        tuple(hardening_table(group, keys.groups[group.name].diffusion) for group in spec.groups),
    )


def survey_evidence(
    batches: Iterable[pa.RecordBatch],
    rows: int,
    sample: pa.RecordBatch,
    protocol: LinkageProtocol,
    *,
    seed: int,
    random_pairs: int = RANDOM_PAIRS,
    memory_bytes: int = SURVEY_MEMORY_BYTES,
) -> EvidenceSurvey:
    """Survey all of a custodian's records; how they are divided into batches changes nothing.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Normalised columns; gone through once or more.
    rows : int
        Rows of all batches.
    sample : RecordBatch
        :data:`SAMPLE_RECORDS` of the records at random, or all of them when they are fewer.
    seed : int
        Of the random pairs behind the aggregates.
    """
    spec, field_specs = evidence_of(protocol), {f.name: f for f in protocol.fields}
    values = survey_values(batches, rows, spec.fields, spec.rarity_edges, memory_bytes)
    rates = level_rates(
        field_columns(sample, spec.fields, _coding_functions(protocol)),
        spec,
        field_specs,
        seed=seed,
        random_pairs=random_pairs,
        agreement={name: survey.agreement for name, survey in values.items()},
    )
    return EvidenceSurvey(rows, values, rates)


def encode_surveyed(
    records: pa.RecordBatch,
    encoder: EvidenceEncoder,
    survey: EvidenceSurvey,
    order: npt.NDArray[np.intp] | None = None,
) -> tuple[EncodedEvidence, tuple[FilterFill, ...]]:
    """Encode some of the surveyed records; the fill of each group's filters.

    Parameters
    ----------
    order : ndarray of intp, shape (n,), optional
        The rows as they are to come out; as they are by default.
    """
    spec, rows = encoder.spec, records.num_rows
    columns = field_columns(records, spec.fields, encoder.functions)
    if order is not None:  # texts are dear to move; what is known of them is not
        columns = {
            n: replace(column, value_of_row=column.value_of_row[order]) for n, column in columns.items()
        }
    encoded = [
        encode_group(columns, group, encoder.field_specs, encoder.keys.groups[group.name], rows, table)
        for group, table in zip(spec.groups, encoder.tables, strict=True)
    ]
    rarity = np.empty((rows, len(spec.fields)), np.uint8)
    for f, name in enumerate(spec.fields):
        rarity[:, f] = survey.values[name].bands_of_rows(columns[name])
    evidence = EncodedEvidence(
        encode_tokens(columns, spec.tokens, encoder.keys.tokens, rows),
        tuple(group.filters for group in encoded),
        rarity,
        _sex_codes(columns, rows),
    )
    return evidence, tuple(group.fill for group in encoded)


def published_aggregates(
    survey: EvidenceSurvey, fills: Sequence[FilterFill], spec: EvidenceSpec
) -> EvidenceAggregates:
    """What leaves of the survey, with the fill of each group's filters over all records."""
    fields = tuple(
        FieldAggregate(rates, survey.values[name].band_agreement)
        for name, rates in zip(spec.fields, survey.level_rates, strict=True)
    )
    shares = tuple(fill.share(group.bits) for fill, group in zip(fills, spec.groups, strict=True))
    return EvidenceAggregates(survey.records, fields, shares)


def encode_evidence(
    records: pa.RecordBatch,
    protocol: LinkageProtocol,
    keys: CustodianKeys,
    *,
    seed: int,
    random_pairs: int = RANDOM_PAIRS,
) -> tuple[EncodedEvidence, EvidenceAggregates]:
    """Survey and encode all of a custodian's records at once; row order is kept.

    Parameters
    ----------
    records : RecordBatch
        Normalised columns. Random pairs are of the first :data:`SAMPLE_RECORDS` rows, so that a larger batch is
        to come in an order without meaning.
    seed : int
        Of the random pairs behind the aggregates.

    Raises
    ------
    ProtocolError
        E-PROTOCOL when this installation has not the protocol's nickname table.
    """
    encoder = evidence_encoder(protocol, keys)
    survey = survey_evidence(
        [records],
        records.num_rows,
        records.slice(0, SAMPLE_RECORDS),
        protocol,
        seed=seed,
        random_pairs=random_pairs,
    )
    evidence, fills = encode_surveyed(records, encoder, survey)
    return evidence, published_aggregates(survey, fills, encoder.spec)


def _coding_functions(protocol: LinkageProtocol) -> CodingFunctions:
    return coding_functions(load_formal_names(protocol.nickname_table))


def _sex_codes(columns: FieldColumns, rows: int) -> npt.NDArray[np.uint8]:
    column = columns.get(SEX, FieldColumn(np.full(rows, -1, np.intp), pa.array([], pa.utf8())))
    codes = [SEX_CODES.get(value, 0) for value in column.values.to_pylist()]
    return np.array([*codes, 0], np.uint8)[column.value_of_row]
