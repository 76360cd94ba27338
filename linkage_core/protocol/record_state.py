"""A custodian's records as they stand after a delivery, and the changes that lead from one state to the next.

Zone: protocol. A state is all records in the order of their pseudonyms. It is named by a digest over pseudonyms and
rows, so that two parties who came to it by different ways, all at once or change by change, can tell that it is the
same to the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_records import PSEUDONYM_BYTES, PSEUDONYM_DTYPE, EncodedRecords

ROW_DIGEST_BYTES = 16
ROW_DIGEST_DTYPE = np.dtype(f"V{ROW_DIGEST_BYTES}")
STATE_FORMAT = b"nightlink-state-1"

Pseudonyms = npt.NDArray[np.void]
_SORTABLE = f"S{PSEUDONYM_BYTES}"
"""The same bytes in a dtype that numpy compares; trailing zero bytes, which it drops, change no order at one width."""


@dataclass(frozen=True, eq=False)
class StateRows:
    """What tells one state from another: of each record its pseudonym and a digest of its row.

    Attributes
    ----------
    pseudonyms : ndarray of V16, shape (n,)
        In ascending order of their bytes, none twice.
    digests : ndarray of V16, shape (n,)
        :func:`row_digests` of the same records.
    """

    pseudonyms: Pseudonyms = field(repr=False)
    digests: npt.NDArray[np.void] = field(repr=False)

    def __len__(self) -> int:
        return len(self.pseudonyms)


def state_rows(records: EncodedRecords) -> StateRows:
    """The state's rows of some records, in their order."""
    return StateRows(records.record_pseudonyms, row_digests(records))


def no_state_rows() -> StateRows:
    """The state of no records."""
    return StateRows(np.empty(0, PSEUDONYM_DTYPE), np.empty(0, ROW_DIGEST_DTYPE))


def concat_state_rows(parts: Sequence[StateRows]) -> StateRows:
    """Join consecutive parts of one state."""
    parts = [no_state_rows(), *parts]
    return StateRows(
        np.concatenate([part.pseudonyms for part in parts]), np.concatenate([part.digests for part in parts])
    )


def take_state_rows(rows: StateRows, wanted: npt.NDArray[np.intp] | slice) -> StateRows:
    """Some of them, in the order asked for."""
    return StateRows(rows.pseudonyms[wanted], rows.digests[wanted])


def row_digests(records: EncodedRecords) -> npt.NDArray[np.void]:
    """The first 16 bytes of the SHA-256 of each record's evidence, little-endian, column after column; V16, (n,)."""
    evidence = records.evidence
    columns = [
        evidence.tokens.astype("<u8", copy=False),
        *(filters.astype("<u8", copy=False) for filters in evidence.group_filters),
        evidence.rarity,
        evidence.sex.reshape(-1, 1),
    ]
    rows = np.concatenate([np.ascontiguousarray(column).view(np.uint8) for column in columns], axis=1)
    width, content = rows.shape[1], rows.reshape(-1).data
    found = [
        hashlib.sha256(content[start : start + width]).digest()[:ROW_DIGEST_BYTES]
        for start in range(0, len(content), width)
    ]
    return np.frombuffer(b"".join(found), ROW_DIGEST_DTYPE)


def state_digest(rows: StateRows) -> str:
    """SHA-256, 64 hex digits, of the format's name and each record's pseudonym and row digest, in order."""
    pairs = np.stack(
        [_bytes(rows.pseudonyms, PSEUDONYM_BYTES), _bytes(rows.digests, ROW_DIGEST_BYTES)], axis=1
    )
    return hashlib.sha256(STATE_FORMAT + pairs.tobytes()).hexdigest()


def changed_rows(now: StateRows, before: StateRows) -> npt.NDArray[np.bool_]:
    """Which records are new or have another row than before; bool, shape (len(now),)."""
    place, found = _places(now.pseudonyms, before.pseudonyms)
    same = found.copy()
    same[found] = now.digests[found] == before.digests[place[found]]
    return ~same


def gone_pseudonyms(now: StateRows, before: StateRows) -> Pseudonyms:
    """Pseudonyms of the records of before that are no longer there, in order."""
    _, found = _places(before.pseudonyms, now.pseudonyms)
    return before.pseudonyms[~found]


def rows_of_before(now: StateRows, before: StateRows) -> npt.NDArray[np.intp]:
    """Of each record its row in the former state where nothing of it changed, else -1; intp, shape (len(now),)."""
    place, _ = _places(now.pseudonyms, before.pseudonyms)
    return np.where(changed_rows(now, before), -1, place)


def apply_changes(before: Pseudonyms, changed: Pseudonyms, gone: Pseudonyms) -> npt.NDArray[np.intp]:
    """Where each record of the next state comes from.

    Parameters
    ----------
    before : ndarray of V16
        Of the former state, in ascending order.
    changed : ndarray of V16
        Of the records that are new or have another row, in ascending order.
    gone : ndarray of V16
        Of the records that go; one that is not there is as good.

    Returns
    -------
    ndarray of intp
        In the order of the next state: ``k < len(before)`` is row ``k`` of the former state, and
        ``len(before) + k`` is row ``k`` of the changes.
    """
    _, replaced = _places(before, changed)
    _, removed = _places(before, np.sort(gone.view(_SORTABLE)).view(PSEUDONYM_DTYPE))
    kept = np.flatnonzero(~(replaced | removed))
    source = np.concatenate([kept, len(before) + np.arange(len(changed), dtype=np.intp)])
    pseudonyms = np.concatenate([before[kept], changed])
    # Both runs are in order: a stable sort merges them.
    return source[np.argsort(pseudonyms.view(_SORTABLE), kind="stable")]


def pseudonym_keys(pseudonyms: Pseudonyms) -> npt.NDArray[np.bytes_]:
    """The same bytes in a dtype that sorts as they do."""
    return pseudonyms.view(_SORTABLE)


def check_ascending(pseudonyms: Pseudonyms, whose: str) -> None:
    """Refuse pseudonyms that are not in strictly ascending order (E-DLV-FORMAT): no state, or one record twice."""
    keys = pseudonyms.view(_SORTABLE)
    if not (keys[:-1] < keys[1:]).all():
        raise NightlinkError(
            "E-DLV-FORMAT",
            found=f"records of {whose} that are not in ascending order of their pseudonyms, or twice",
            expected="each record once, in that order",
            remedy="The delivery is refused. Compare versions; the custodian delivers again.",
        )


def _places(wanted: Pseudonyms, among: Pseudonyms) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Where each wanted pseudonym stands or would stand among others in order, and whether it is there."""
    keys, others = wanted.view(_SORTABLE), among.view(_SORTABLE)
    place = np.searchsorted(others, keys)
    found = np.zeros(len(keys), np.bool_)
    inside = place < len(others)
    found[inside] = others[place[inside]] == keys[inside]
    return place, found


def _bytes(array: npt.NDArray[np.void], width: int) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1, width)
