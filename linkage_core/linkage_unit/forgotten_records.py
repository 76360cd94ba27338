"""Records that were erased and come with a full delivery all the same: nothing is compared. Zone: linkage_unit."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from linkage_core.protocol.encoded_evidence import EncodedEvidence
from linkage_core.protocol.encoded_records import PSEUDONYM_BYTES, EncodedRecords

U = TypeVar("U", np.uint64, np.uint8)


def pseudonym_texts(record_pseudonyms: npt.NDArray[np.void]) -> list[str]:
    """Record pseudonyms as UUID text, in their order."""
    return [str(uuid.UUID(bytes=pseudonym.tobytes())) for pseudonym in record_pseudonyms]


def blank_records(records: EncodedRecords, texts: Sequence[str], erased: Collection[str]) -> EncodedRecords:
    """The records with nothing left of the erased ones, whose places stay.

    Their evidence is missing throughout (zero), so no pass proposes them and no filter is similar to theirs; their
    pseudonym is replaced by a hash of it, so that no known link finds them. Places stay, since all that is counted
    and resumed goes by the delivery's own number of rows.

    Parameters
    ----------
    records : EncodedRecords
    texts : sequence of str
        :func:`pseudonym_texts` of the records.
    erased : collection of str
        Of these, the ones to blank.
    """
    rows = np.array([k for k, text in enumerate(texts) if text in erased], dtype=np.intp)
    pseudonyms = records.record_pseudonyms.copy()
    for row in rows:
        digest = hashlib.sha256(b"erased" + pseudonyms[row].tobytes()).digest()[:PSEUDONYM_BYTES]
        pseudonyms[row] = np.void(digest)
    evidence = records.evidence
    return EncodedRecords(
        pseudonyms,
        EncodedEvidence(
            _zeroed(evidence.tokens, rows),
            tuple(_zeroed(filters, rows) for filters in evidence.group_filters),
            _zeroed(evidence.rarity, rows),
            _zeroed(evidence.sex, rows),
        ),
    )


def _zeroed(column: npt.NDArray[U], rows: npt.NDArray[np.intp]) -> npt.NDArray[U]:
    blank = column.copy()
    blank[rows] = 0
    return blank
