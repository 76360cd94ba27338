"""Which rows repeat an earlier row's source id, over all batches and within a bounded memory. Zone: custodian."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.text_columns import SOURCE_ID, are_blank, text_buffers

ID_MEMORY_BYTES = 128 * 2**20
_BYTES_A_ROW = 48
"""Two words of the digest and the row's number, and the same again while they are sorted."""

# Not keyed by a secret: the digests stay in the custodian's memory, and the result does not depend on the key.
_ID_DIGEST_LABEL = b"nightlink repeated id check"


def repeated_ids(
    batches: Iterable[pa.RecordBatch], rows: int, memory_bytes: int = ID_MEMORY_BYTES
) -> npt.NDArray[np.int64]:
    """Rows whose id an earlier row has, ascending; blank ids and nulls are nobody's.

    Ids are compared by 16 bytes of digest. The result depends on neither the batches nor the memory.

    Parameters
    ----------
    batches : iterable of RecordBatch
        With the column ``source_id``; gone through once for each share of the digests that fits.
    rows : int
        Rows of all batches together.
    """
    pieces = max(-(-rows * _BYTES_A_ROW // memory_bytes), 1)
    found = [_repeated_in_piece(batches, piece, pieces) for piece in range(pieces)]
    return np.sort(np.concatenate(found))


def _repeated_in_piece(batches: Iterable[pa.RecordBatch], piece: int, pieces: int) -> npt.NDArray[np.int64]:
    kept_digests, kept_rows, first_row = [np.empty((0, 2), np.uint64)], [np.empty(0, np.int64)], 0
    for batch in batches:
        digests, present = _digests(batch.column(SOURCE_ID))
        share = (digests[:, 0] >> np.uint64(32)) * np.uint64(pieces) >> np.uint64(32)
        rows = np.flatnonzero(present & (share == piece))
        kept_digests.append(digests[rows])
        kept_rows.append(rows + first_row)
        first_row += batch.num_rows
    digests, numbers = np.concatenate(kept_digests), np.concatenate(kept_rows)
    order = np.lexsort(
        (digests[:, 1], digests[:, 0])
    )  # stable: of equal digests the earliest row comes first
    same = (digests[order[1:]] == digests[order[:-1]]).all(axis=1)
    repeated: npt.NDArray[np.int64] = numbers[order[1:][same]]
    return repeated


def _digests(ids: pa.Array) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Two words of each id's digest, and which ids are there; a null reads as an empty text."""
    known = ids.cast(pa.binary()) if pa.types.is_null(ids.type) else ids
    digests = hmac_sha256_many(_ID_DIGEST_LABEL, *text_buffers(known))
    words = np.ascontiguousarray(digests[:, :16]).view("<u8").reshape(-1, 2).astype(np.uint64)
    return words, ~are_blank(known)
