"""Rules that a single raw row must keep, and which rows break which. Zone: custodian.

A verdict holds row numbers, field names and reason codes, never a value. A placeholder (1900-01-01, "Baby
Boy") is a missing value and breaks no rule. Rules about a whole batch (volumes, null rates) are not here:
they belong to the set-level expectations.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.birth_date_columns import read_birth_dates
from linkage_core.custodian.birth_dates import parse_birth_date
from linkage_core.custodian.column_normalisers import (
    byte_lengths,
    fold_printable,
    normalise_values,
    printable_ascii,
)
from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.source_format import SourceFormat, compile_date_formats
from linkage_core.custodian.text_columns import SOURCE_ID, are_blank, distinct_values, text_buffers
from linkage_core.custodian.text_folding import MAX_RAW_CHARS, fold_to_ascii, stands_for_missing
from linkage_core.custodian.value_normalisers import folded_sex_codes
from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_protocol import REQUIRED_FIELDS, FieldSpec, LinkageProtocol
from linkage_core.protocol.row_rules import ROW_RULES

WHOLE_RECORD = "record"
"""The field name of a rule that concerns several fields."""

MIN_REQUIRED_FIELDS = 2
_CODES, _NO_FAULT = tuple(ROW_RULES), -1
_ID_DIGEST_LABEL = b"nightlink duplicate id check"

Check = Callable[[str], str | None]


@dataclass(frozen=True)
class RowVerdicts:
    """Which rows of a batch are fit to go on, and why the others are not.

    Attributes
    ----------
    accepted : ndarray of bool, shape (n,)
    rows : ndarray of intp, shape (r,)
        Row of each breach, ascending; a row may have several.
    fields, codes : tuple of str, length r
        Field and reason code of each breach; within a row in the protocol's order of fields.
    emptied_by_rule : mapping of str to int
        Rows whose broken value is only emptied, by the source's ``emptying_rules``.
    id_digests : ndarray of V16, shape (n,)
        A digest of each row's source id, for finding ids that repeat over batches. Not keyed, so it stays in
        the custodian's memory.
    """

    accepted: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.intp]
    fields: tuple[str, ...]
    codes: tuple[str, ...]
    emptied_by_rule: Mapping[str, int]
    id_digests: npt.NDArray[np.void] = field(repr=False)

    @property
    def rejected_by_rule(self) -> dict[str, int]:
        """Rejected rows by reason code, in the order of :data:`ROW_RULES`; a row counts under each of its
        codes.
        """
        pairs = set(zip(self.rows.tolist(), self.codes, strict=True))
        counts = {code: sum(found == code for _, found in pairs) for code in ROW_RULES}
        return {code: count for code, count in counts.items() if count}


@dataclass(frozen=True)
class _Breach:
    """Rows of one field that break one rule, as a mask."""

    field_name: str
    code: str
    broken: npt.NDArray[np.bool_] = field(repr=False)


def check_rows(
    batch: pa.RecordBatch,
    protocol: LinkageProtocol,
    source_format: SourceFormat,
    as_of: dt.date | None = None,
) -> RowVerdicts:
    """Check every row of a raw batch against :data:`ROW_RULES`.

    Parameters
    ----------
    batch : RecordBatch
        ``source_id`` and any of the protocol's fields as utf8 or binary columns; a column that is not there
        is a field without values.
    as_of : date, optional
        The night's date: later births break R-DATE-RANGE.

    Raises
    ------
    NightlinkError
        E-SRC-SCHEMA when the batch has no ``source_id``, or a column holds neither text nor bytes.
    """
    if SOURCE_ID not in batch.schema.names:
        raise NightlinkError(
            "E-SRC-SCHEMA",
            found="a batch without the column source_id",
            expected="the column source_id",
            remedy="Select the source's own id under this name.",
        )
    breaches = _check_ids(batch)
    missing_required = np.zeros(batch.num_rows, np.int64)
    emptied: dict[str, int] = {}
    for spec in protocol.fields:
        found, missing = _check_field(batch, spec, source_format, as_of)
        breaches += [breach for breach in found if breach.code not in source_format.emptying_rules]
        for breach in found:
            if breach.code in source_format.emptying_rules:
                emptied[breach.code] = emptied.get(breach.code, 0) + int(breach.broken.sum())
                missing = missing | breach.broken
        if spec.name in REQUIRED_FIELDS:
            missing_required += missing
    too_little = missing_required > len(REQUIRED_FIELDS) - MIN_REQUIRED_FIELDS
    breaches.append(_Breach(WHOLE_RECORD, "R-TOO-LITTLE", too_little))
    return _collect(breaches, emptied, _id_digests(batch))


def accepted_rows(batch: pa.RecordBatch, verdicts: RowVerdicts) -> pa.RecordBatch:
    """The rows that broke no rule, in their order."""
    return batch.filter(pa.array(verdicts.accepted))


def reject_seen_ids(verdicts: RowVerdicts, seen: Set[bytes]) -> RowVerdicts:
    """The verdicts with R-ID-DUPLICATE for each row whose id digest is in ``seen``.

    The caller keeps ``seen``, and adds ``digest.tobytes()`` of every row of a batch after its check.
    """
    repeated = np.array([digest.tobytes() in seen for digest in verdicts.id_digests], bool)
    return reject_repeated_ids(verdicts, repeated)


def reject_repeated_ids(verdicts: RowVerdicts, repeated: npt.NDArray[np.bool_]) -> RowVerdicts:
    """The verdicts with R-ID-DUPLICATE for each row in ``repeated`` that has an id and not this verdict yet."""
    fresh = [
        row
        for row in np.flatnonzero(repeated)
        if not _has_breach(verdicts, int(row), "R-ID-DUPLICATE", "R-ID-MISSING")
    ]
    at = np.searchsorted(verdicts.rows, fresh)
    fields, codes = list(verdicts.fields), list(verdicts.codes)
    for shift, place in enumerate(at):
        fields.insert(int(place) + shift, SOURCE_ID)
        codes.insert(int(place) + shift, "R-ID-DUPLICATE")
    return replace(
        verdicts,
        accepted=verdicts.accepted & ~repeated,
        rows=np.insert(verdicts.rows, at, fresh),
        fields=tuple(fields),
        codes=tuple(codes),
    )


def _has_breach(verdicts: RowVerdicts, row: int, *codes: str) -> bool:
    first, stop = np.searchsorted(verdicts.rows, [row, row + 1])
    return not set(codes).isdisjoint(verdicts.codes[first:stop])


def _check_ids(batch: pa.RecordBatch) -> list[_Breach]:
    indices, raw = distinct_values(batch, SOURCE_ID)
    blank = np.append(are_blank(raw), True)
    breaches = _breaches_of_values(SOURCE_ID, indices, _text_faults(raw))
    _, first = np.unique(indices, return_index=True)
    repeated = np.ones(len(indices), bool)
    repeated[first] = False
    missing = blank[indices]
    return [
        _Breach(SOURCE_ID, "R-ID-MISSING", missing),
        _Breach(SOURCE_ID, "R-ID-DUPLICATE", repeated & ~missing),
        *breaches,
    ]


def _check_field(
    batch: pa.RecordBatch, spec: FieldSpec, source_format: SourceFormat, as_of: dt.date | None
) -> tuple[list[_Breach], npt.NDArray[np.bool_]]:
    """The field's breaches, and the rows in which it is missing without breaking a rule."""
    indices, raw = distinct_values(batch, spec.name)
    faults = _text_faults(raw)
    check = _kind_check(spec, source_format, as_of)
    if check is not None:
        doubtful = (faults < 0) & ~_good_dates(raw, spec, source_format, as_of)
        texts = raw.take(pa.array(np.flatnonzero(doubtful))).to_pylist()
        faults[doubtful] = [_number(check(fold_to_ascii(text.decode("utf-8")))) for text in texts]
    absent = np.zeros(len(raw), bool)
    if spec.name in REQUIRED_FIELDS:
        normal = normalise_values(raw, spec.kind, source_format)
        absent = normal.is_null().to_numpy(zero_copy_only=False) & (faults < 0)
    return _breaches_of_values(spec.name, indices, faults), np.append(absent, True)[indices]


def _good_dates(
    values: pa.Array, spec: FieldSpec, source_format: SourceFormat, as_of: dt.date | None
) -> npt.NDArray[np.bool_]:
    """Which values of a field of dates are usable ones in the usual characters; none of another field's."""
    good = np.zeros(len(values), bool)
    if spec.kind == "date":
        plain = np.flatnonzero(printable_ascii(values))
        dates = read_birth_dates(fold_printable(values.take(pa.array(plain))), source_format, as_of)
        good[plain] = dates.usable
    return good


def _text_faults(values: pa.Array) -> npt.NDArray[np.int8]:
    """Number in :data:`ROW_RULES` of the rule that each value breaks as a text, -1 for none."""
    faults = np.full(len(values), _NO_FAULT, np.int8)
    doubtful = ~(printable_ascii(values) & (byte_lengths(values) <= MAX_RAW_CHARS))
    texts = values.take(pa.array(np.flatnonzero(doubtful))).to_pylist()
    faults[doubtful] = [_number(_text_fault(text)) for text in texts]
    return faults


def _number(code: str | None) -> int:
    return _NO_FAULT if code is None else _CODES.index(code)


def _text_fault(value: bytes) -> str | None:
    """The rule that a text of any field breaks."""
    if b"\0" in value:
        return "R-NUL"
    try:
        length = len(value.decode("utf-8"))
    except UnicodeDecodeError:
        return "R-SURROGATE"
    return "R-TOO-LONG" if length > MAX_RAW_CHARS else None


def _kind_check(spec: FieldSpec, source_format: SourceFormat, as_of: dt.date | None) -> Check | None:
    """What tells the rule that folded text breaks, for kinds of field that have one."""
    if spec.kind == "date":
        patterns = compile_date_formats(source_format)
        return lambda folded: parse_birth_date(folded, patterns, source_format, as_of).broken_rule
    if spec.kind == "sex":
        codes = folded_sex_codes(source_format)
        return lambda folded: None if folded in codes or stands_for_missing(folded) else "R-SEX-CODE"
    return None


def _breaches_of_values(
    name: str, indices: npt.NDArray[np.intp], faults: npt.NDArray[np.int8]
) -> list[_Breach]:
    if not np.any(faults >= 0):
        return []
    found = np.append(faults, np.int8(_NO_FAULT))[indices]
    return [_Breach(name, code, found == k) for k, code in enumerate(_CODES) if np.any(found == k)]


def _collect(
    breaches: list[_Breach], emptied: dict[str, int], id_digests: npt.NDArray[np.void]
) -> RowVerdicts:
    rows = [np.flatnonzero(breach.broken) for breach in breaches]
    source = np.repeat(np.arange(len(breaches)), [len(found) for found in rows])
    flat = np.concatenate(rows)
    order = np.argsort(flat, kind="stable")
    accepted = np.ones(len(id_digests), bool)
    accepted[flat] = False
    return RowVerdicts(
        accepted=accepted,
        rows=flat[order],
        fields=tuple(breaches[b].field_name for b in source[order]),
        codes=tuple(breaches[b].code for b in source[order]),
        emptied_by_rule=emptied,
        id_digests=id_digests,
    )


def _id_digests(batch: pa.RecordBatch) -> npt.NDArray[np.void]:
    ids = batch.column(SOURCE_ID)
    if pa.types.is_null(ids.type):
        ids = ids.cast(pa.binary())
    digests = hmac_sha256_many(_ID_DIGEST_LABEL, *text_buffers(ids))
    return np.ascontiguousarray(digests[:, :16]).view("V16").reshape(-1)
