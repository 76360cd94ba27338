"""Receipts: the linkage unit's signed word that a delivery is in a published night, for its custodian. Zone: protocol.

A receipt names the delivery and the night's entry in the audit log, by number and leaf hash, and carries a checkpoint
with two kinds of proof: that the entry is in it, and that its log begins with those of checkpoints that the custodian
may hold. It holds no entry: how many links a night opened could tell one custodian of a person of the other's.

One line of canonical JSON, ``{"receipt":{...},"signature":"<128 hex>"}``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from linkage_core.audit.checkpoints import MAX_NOTE_BYTES, Checkpoint, log_origin, open_checkpoint
from linkage_core.audit.merkle_tree import (
    EMPTY_ROOT,
    ReadNode,
    consistency_holds,
    consistency_proof,
    inclusion_holds,
    inclusion_proof,
)
from linkage_core.audit.signatures import sign, verify
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import Count, PositiveCount, SafeName, Sha256Hex

RECEIPT_FORMAT = "nightlink-receipt-1"
MAX_RECEIPT_BYTES = 1 << 17
MOST_EARLIER = 16
"""Of so many earlier checkpoints a receipt shows at most that its log begins with them."""
_CONTEXT = RECEIPT_FORMAT.encode()

Proof = Annotated[tuple[Sha256Hex, ...], Field(max_length=64)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class EarlierTree(_Frozen):
    """An earlier size of the log, and the proof that the receipt's log begins with it."""

    size: Count
    proof: Proof


class Receipt(_Frozen):
    """What the linkage unit says of one delivery; see the module."""

    format: Literal["nightlink-receipt-1"] = "nightlink-receipt-1"
    project: SafeName
    custodian: SafeName
    run_id: SafeName
    manifest_sha256: Sha256Hex
    entry: PositiveCount
    entry_leaf: Sha256Hex
    inclusion: Proof
    earlier: tuple[EarlierTree, ...] = Field(max_length=MOST_EARLIER)
    checkpoint: Annotated[str, StringConstraints(max_length=MAX_NOTE_BYTES)]


class _Sealed(_Frozen):
    receipt: Receipt
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


@dataclass(frozen=True)
class OpenedReceipt:
    """A receipt whose signatures hold, with its checkpoint read."""

    receipt: Receipt
    checkpoint: Checkpoint


def prove_receipt(
    entry: int, checkpoint: Checkpoint, earlier: Iterable[int], read_node: ReadNode
) -> dict[str, object]:
    """A receipt's entries ``inclusion`` and ``earlier``: proofs for the entry's number and for each earlier size."""
    sizes = sorted(set(earlier))[-MOST_EARLIER:]
    return {
        "inclusion": _hex(inclusion_proof(entry - 1, checkpoint.size, read_node)),
        "earlier": tuple(
            EarlierTree(size=size, proof=_hex(consistency_proof(size, checkpoint.size, read_node)))
            for size in sizes
        ),
    }


def seal_receipt(receipt: Receipt, signing_key: Ed25519PrivateKey) -> bytes:
    """Sign a receipt; equal receipts and keys give equal bytes."""
    body = receipt.model_dump(mode="json")
    signature = sign(signing_key, _CONTEXT, rfc8785.dumps(body)).hex()
    return rfc8785.dumps({"receipt": body, "signature": signature})


def open_receipt(data: bytes, public_key: Ed25519PublicKey, project: str | None = None) -> OpenedReceipt:
    """Read a receipt that :func:`seal_receipt` wrote; check both signatures, and that the entry is in its log.

    Without a project, one of any is read.

    Raises
    ------
    NightlinkError
        E-AUDIT-RECEIPT: anything else.
    """
    if len(data) > MAX_RECEIPT_BYTES:
        raise _unreadable(f"a receipt of {len(data)} bytes")
    try:
        sealed = _Sealed.model_validate_json(data)
    except ValidationError:
        raise _unreadable("a receipt that cannot be read") from None
    body: dict[str, Any] = sealed.receipt.model_dump(mode="json")
    if rfc8785.dumps({"receipt": body, "signature": sealed.signature}) != data:
        raise _unreadable("a receipt that is not in canonical form")
    if not verify(public_key, _CONTEXT, rfc8785.dumps(body), bytes.fromhex(sealed.signature)):
        raise _unreadable("a receipt without the linkage unit's signature")
    return _with_its_checkpoint(sealed.receipt, public_key, project or sealed.receipt.project)


def check_continues(opened: OpenedReceipt, seen: Checkpoint | None) -> None:
    """Refuse a receipt whose log does not begin with the one that was seen before; None saw nothing.

    Raises
    ------
    NightlinkError
        E-AUDIT-FORK, naming both sizes.
    """
    before = seen or Checkpoint(opened.checkpoint.origin, 0, EMPTY_ROOT, opened.checkpoint.at)
    if not _continues(opened, before):
        raise log_fork(before.size, opened.checkpoint.size)


def log_fork(seen: int, found: int) -> NightlinkError:
    """The error for a log of ``found`` entries that does not begin with the ``seen`` ones that a witness knows."""
    return NightlinkError(
        "E-AUDIT-FORK",
        found=f"an audit log of {found} entries that is not shown to begin with the {seen} which its witness saw",
        expected="entries added at the end, and nothing else",
        remedy="Deliver and publish nothing more; keep both checkpoints, and let an auditor verify from the older one.",
    )


def _continues(opened: OpenedReceipt, seen: Checkpoint) -> bool:
    now = opened.checkpoint
    if seen.size == now.size:
        return seen.root == now.root
    proofs = {tree.size: tree.proof for tree in opened.receipt.earlier}
    if seen.size == 0:
        return seen.root == EMPTY_ROOT
    proof = proofs.get(seen.size)
    return proof is not None and consistency_holds(seen.size, now.size, _raw(proof), seen.root, now.root)


def _with_its_checkpoint(receipt: Receipt, public_key: Ed25519PublicKey, project: str) -> OpenedReceipt:
    if receipt.project != project:
        raise _unreadable(f"a receipt of the project {receipt.project}")
    checkpoint = open_checkpoint(receipt.checkpoint, public_key, log_origin(project))
    leaf, path = bytes.fromhex(receipt.entry_leaf), _raw(receipt.inclusion)
    if not inclusion_holds(leaf, receipt.entry - 1, checkpoint.size, path, checkpoint.root):
        raise _unreadable(f"a receipt whose checkpoint does not hold its entry {receipt.entry}")
    return OpenedReceipt(receipt, checkpoint)


def _hex(hashes: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(found.hex() for found in hashes)


def _raw(hashes: Iterable[str]) -> list[bytes]:
    return [bytes.fromhex(found) for found in hashes]


def _unreadable(found: str) -> NightlinkError:
    return NightlinkError(
        "E-AUDIT-RECEIPT",
        found=found,
        expected="a receipt as the linkage unit signs it, under its registered key",
        remedy="Keep it as evidence, and ask the linkage unit for the receipt again.",
    )
