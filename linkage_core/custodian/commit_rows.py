"""Commit to the rows that encodings are made of, with salts that only this custodian can make. Zone: custodian."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.audit.row_commitments import COMMITMENT_KEY, ENTRY_DTYPE, Entries, committed_rows
from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.text_columns import SOURCE_ID, text_buffers
from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.linkage_protocol import LinkageProtocol
from linkage_core.protocol.record_state import StateRows


def row_salts(source_ids: pa.Array, site_key: bytes, protocol: LinkageProtocol) -> npt.NDArray[np.uint8]:
    """HMAC-SHA256 of each source id under a key of its own role; uint8, shape (n, 32).

    The same in each night of an epoch: the same row gives the same leaf, and nothing need be kept of the salts.
    """
    key = derive_key(site_key, (protocol.project, protocol.key_epoch, "row-commitment"))
    return hmac_sha256_many(key, *text_buffers(source_ids))


def row_entries(
    rows: pa.RecordBatch, state: StateRows, site_key: bytes, protocol: LinkageProtocol
) -> Entries:
    """Pseudonym, row digest and leaf of each record, in the order of the rows.

    Parameters
    ----------
    rows : RecordBatch
        Normalised rows with their source ids.
    state : StateRows
        Pseudonyms and digests of the same records, in the same order.

    Returns
    -------
    ndarray of ENTRY_DTYPE, shape (n,)
    """
    entries = np.empty(len(state), ENTRY_DTYPE)
    entries["pseudonym"], entries["digest"] = state.pseudonyms, state.digests
    salts = row_salts(rows.column(SOURCE_ID), site_key, protocol)
    heads = np.concatenate([_bytes(state.pseudonyms), _bytes(state.digests), salts], axis=1)
    messages = pc.binary_join_element_wise(
        _fixed(heads), committed_rows(rows, protocol.field_names), pa.scalar(b"", pa.large_binary())
    )
    leaves = hmac_sha256_many(COMMITMENT_KEY, *text_buffers(messages))
    entries["leaf"] = np.ascontiguousarray(leaves).view(ENTRY_DTYPE["leaf"]).reshape(-1)
    return entries


def _bytes(array: npt.NDArray[np.void]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(array), array.dtype.itemsize)


def _fixed(rows: npt.NDArray[np.uint8]) -> pa.Array:
    """Rows of bytes of one width, as large_binary."""
    offsets = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(rows))]
    return pa.Array.from_buffers(pa.large_binary(), len(rows), buffers)
