"""Row commitments: of which row at the custodian an encoding was made, fixed before anybody asks. Zone: protocol.

For each record of a delivery the custodian makes a leaf,

    HMAC-SHA256("nightlink-row-1", pseudonym || row digest || salt || row),

of the record's pseudonym, the digest of its encoding (:func:`~linkage_core.protocol.record_state.row_digests`), a salt
that only the custodian can make, and the normalised row. The root of an RFC 6962 tree over the leaves is in the signed
manifest, whose digest is in the audit log. To prove a row the custodian hands out its salt and the path to that root;
without the salt nobody can try rows, and of other rows a proof tells nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import rfc8785
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from linkage_core.audit.merkle_tree import (
    TreeHead,
    grow_tree,
    inclusion_holds,
    inclusion_proof,
    leaf_hash,
    node_hash,
)
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import DeliveryManifest, SafeName, Sha256Hex
from linkage_core.protocol.encoded_records import PSEUDONYM_BYTES
from linkage_core.protocol.record_state import ROW_DIGEST_BYTES

COMMITMENT_KEY = b"nightlink-row-1"
"""Public: it keeps these digests apart from all others, and hides nothing."""
SALT_BYTES = LEAF_BYTES = 32
ENTRY_DTYPE = np.dtype(
    [("pseudonym", f"V{PSEUDONYM_BYTES}"), ("digest", f"V{ROW_DIGEST_BYTES}"), ("leaf", f"V{LEAF_BYTES}")]
)
"""What a custodian keeps of each record that it delivered: 64 bytes, in the order of the delivery."""
MAX_PROOF_BYTES = 1 << 16
_BLOCK_LEAVES = 1 << 12
_SEPARATOR, _NULL = b"\x1f", b"\x1e"
"""Normalised values hold no control character; the source id, which may, comes last."""

Entries = npt.NDArray[np.void]
Row = Mapping[str, str | None]


def committed_rows(rows: pa.RecordBatch, fields: Sequence[str]) -> pa.Array:
    """The bytes that a row is committed as, large_binary: its fields by name, then its source id.

    A field without a column has no value. Different rows have different bytes.
    """
    columns = [
        rows.column(name).cast(pa.large_binary())
        if name in rows.schema.names
        else pa.nulls(rows.num_rows, pa.large_binary())
        for name in (*sorted(fields), "source_id")
    ]
    return pc.binary_join_element_wise(
        *columns, pa.scalar(_SEPARATOR, pa.large_binary()), null_handling="replace", null_replacement=_NULL
    )


class RowTree:
    """The root over leaves that come in portions; no more than :data:`_BLOCK_LEAVES` of them are in memory."""

    def __init__(self) -> None:
        self._blocks, self._rest = TreeHead(), b""

    def add(self, leaves: bytes) -> None:
        """The next leaves, 32 bytes each."""
        data, size = self._rest + leaves, _BLOCK_LEAVES * LEAF_BYTES
        whole = len(data) - len(data) % size
        for start in range(0, whole, size):
            self._blocks, _ = self._blocks.append(_complete_root(data[start : start + size]))
        self._rest = data[whole:]

    @property
    def root(self) -> bytes:
        """The root over all leaves so far: that of the whole blocks' peaks and those of the rest."""
        rest, _ = grow_tree(_hashed(self._rest))
        return TreeHead(0, (*self._blocks.peaks, *rest.peaks)).root


def _hashed(leaves: bytes) -> list[bytes]:
    return [leaf_hash(leaves[at : at + LEAF_BYTES]) for at in range(0, len(leaves), LEAF_BYTES)]


def _complete_root(leaves: bytes) -> bytes:
    """The root of as many leaves as a power of two."""
    nodes = _hashed(leaves)
    while len(nodes) > 1:
        nodes = [node_hash(left, right) for left, right in zip(nodes[::2], nodes[1::2], strict=True)]
    return nodes[0]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class RowProof(_Frozen):
    """What shows that one record of a delivery was made of one row; who holds it can try rows against it."""

    format: Literal["nightlink-row-proof-1"] = "nightlink-row-proof-1"
    custodian: SafeName
    run_id: SafeName
    sequence: Annotated[int, Field(ge=1)]
    manifest_sha256: Sha256Hex
    record_pseudonym: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    row_digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    salt: Sha256Hex
    index: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(ge=1)]
    path: tuple[Sha256Hex, ...] = Field(max_length=64)


@dataclass(frozen=True)
class ProvenRow:
    """A row, as text, and the proof of it; ``repr`` shows neither."""

    proof: RowProof = field(repr=False)
    row: Row = field(repr=False)


def prove_row(
    entries: Entries,
    row: Row,
    salt: bytes,
    pseudonym: bytes,
    manifest: DeliveryManifest,
    manifest_sha256: str,
) -> ProvenRow:
    """The proof that the record of this pseudonym was made of this row.

    Parameters
    ----------
    entries : ndarray of ENTRY_DTYPE
        What was kept of the delivery's records, in ascending order of pseudonyms.

    Raises
    ------
    NightlinkError
        E-ROW-PROOF when the delivery brought no such record, was made of another row, or what was kept of it is not
        what its manifest says.
    """
    found = np.flatnonzero(entries["pseudonym"].view(f"S{PSEUDONYM_BYTES}") == pseudonym.rstrip(b"\0"))
    if len(found) != 1:
        raise _no_proof(
            "no record of this row in the delivery", "a delivery that brought it; later ones may not"
        )
    index, digest = int(found[0]), entries["digest"][found[0]].tobytes()
    if row_leaf(pseudonym, digest, salt, row) != entries["leaf"][index].tobytes():
        raise _no_proof("another row under this id than the one that was delivered", "the row of that night")
    leaves = entries["leaf"].tobytes()

    def node(level: int, position: int) -> bytes:
        width = LEAF_BYTES << level
        return _complete_root(leaves[position * width : (position + 1) * width])

    path = inclusion_proof(index, len(entries), node)
    proof = RowProof(
        custodian=manifest.custodian, run_id=manifest.run_id, sequence=manifest.sequence,
        manifest_sha256=manifest_sha256, record_pseudonym=pseudonym.hex(), row_digest=digest.hex(), salt=salt.hex(),
        index=index, rows=len(entries), path=tuple(step.hex() for step in path),
    )  # fmt: skip
    check_row_proof(proof, row, manifest, manifest_sha256)
    return ProvenRow(proof, row)


def row_leaf(pseudonym: bytes, digest: bytes, salt: bytes, row: Row) -> bytes:
    """The leaf of one row; ``row`` has all of the protocol's fields, and ``source_id``, in any order."""
    names = [*sorted(name for name in row if name != "source_id"), "source_id"]
    texts = [row.get(name) for name in names]
    content = _SEPARATOR.join(_NULL if text is None else text.encode() for text in texts)
    return hmac.digest(COMMITMENT_KEY, pseudonym + digest + salt + content, "sha256")


def check_row_proof(proof: RowProof, row: Row, manifest: DeliveryManifest, manifest_sha256: str) -> None:
    """Refuse a proof that does not lead from the row to the manifest's root; the manifest's signature holds already.

    Raises
    ------
    NightlinkError
        E-ROW-PROOF.
    """
    named = (proof.custodian, proof.run_id, proof.sequence, proof.manifest_sha256, proof.rows)
    if named != (
        manifest.custodian,
        manifest.run_id,
        manifest.sequence,
        manifest_sha256,
        manifest.rows_in_parts,
    ):
        raise _no_proof("a proof for another delivery than the manifest's", "the manifest that it names")
    pseudonym, digest, salt = (
        bytes.fromhex(text) for text in (proof.record_pseudonym, proof.row_digest, proof.salt)
    )
    leaf = leaf_hash(row_leaf(pseudonym, digest, salt, row))
    path = [bytes.fromhex(step) for step in proof.path]
    if not inclusion_holds(leaf, proof.index, proof.rows, path, bytes.fromhex(manifest.row_commitments)):
        raise _no_proof(
            "a row, or a proof, that the delivery does not commit to", "both as prove-row wrote them"
        )


def write_proof(proof: RowProof) -> bytes:
    """Canonical JSON."""
    return rfc8785.dumps(proof.model_dump(mode="json"))


def read_proof(data: bytes) -> RowProof:
    """Read what :func:`write_proof` wrote; E-ROW-PROOF for anything else."""
    try:
        return RowProof.model_validate_json(data[:MAX_PROOF_BYTES])
    except ValidationError:
        pass
    raise _no_proof("a file that is no proof of a row", "one that prove-row wrote")


def _no_proof(found: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-ROW-PROOF",
        found=found,
        expected=expected,
        remedy="Nothing is proved. Name the delivery that brought the record, and the row as it was then.",
    )
