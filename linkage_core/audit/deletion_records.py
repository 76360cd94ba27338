"""What remains of a delivery that its custodian deleted: a signed record of who, what and when. Zone: protocol.

The parts are gone; manifest and record stay beside each other, so that digests in the audit log still mean
something and a sequence number is never free again. One line of canonical JSON, ``{"record":{...},
"signature":"<128 hex>"}``; the signature is the custodian's, in a context of its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from linkage_core.audit.signatures import sign, verify
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import (
    CodeVersion,
    DeliveryManifest,
    PartEntry,
    PositiveCount,
    SafeName,
    Sha256Hex,
)

DELETION_FORMAT = "nightlink-deletion-1"
MAX_RECORD_BYTES = 1 << 20
_CONTEXT = DELETION_FORMAT.encode()


DeletionReason = Literal["erasure", "retention"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DeletionRecord(_Frozen):
    """Who deleted which parts of which delivery, when and why; ``parts`` repeats the manifest's digests.

    Without a ``reason`` it was that the delivery's key epoch is no longer in use.
    """

    format: Literal["nightlink-deletion-1"] = "nightlink-deletion-1"
    project: SafeName
    custodian: SafeName
    run_id: SafeName
    sequence: PositiveCount
    key_epoch: SafeName
    epoch_in_use: SafeName
    manifest_sha256: Sha256Hex
    parts: tuple[PartEntry, ...] = Field(max_length=10_000)
    deleted_by: SafeName
    deleted_at: datetime
    code_version: CodeVersion
    reason: DeletionReason | None = None

    @model_validator(mode="after")
    def _has_a_reason(self) -> Self:
        if self.reason is None and self.key_epoch == self.epoch_in_use:
            raise ValueError("the epoch in use is not a retired one")
        if self.deleted_at.utcoffset() is None:
            raise ValueError("a time without its zone")
        return self


class _Sealed(_Frozen):
    record: DeletionRecord
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


def record_deletion(
    manifest: DeliveryManifest,
    manifest_sha256: str,
    *,
    epoch_in_use: str,
    deleted_by: str,
    deleted_at: datetime,
    code_version: str,
    reason: DeletionReason | None = None,
) -> DeletionRecord:
    """The record for a delivery whose parts were just deleted."""
    return DeletionRecord(
        project=manifest.project,
        custodian=manifest.custodian,
        run_id=manifest.run_id,
        sequence=manifest.sequence,
        key_epoch=manifest.key_epoch,
        epoch_in_use=epoch_in_use,
        manifest_sha256=manifest_sha256,
        parts=manifest.files,
        deleted_by=deleted_by,
        deleted_at=deleted_at,
        code_version=code_version,
        reason=reason,
    )


def seal_deletion(record: DeletionRecord, signing_key: Ed25519PrivateKey) -> bytes:
    """Sign a record; equal records and keys give equal bytes."""
    body = record.model_dump(mode="json", exclude_none=True)
    signature = sign(signing_key, _CONTEXT, rfc8785.dumps(body)).hex()
    return rfc8785.dumps({"record": body, "signature": signature})


def open_deletion(data: bytes, public_key: Ed25519PublicKey) -> DeletionRecord:
    """Read a record that :func:`seal_deletion` wrote, and check whose it is.

    Raises
    ------
    NightlinkError
        E-DLV-MANIFEST: not such a record. E-DLV-SIGNATURE: another signer's, or altered.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise _unreadable()
    try:
        sealed = _Sealed.model_validate_json(data)
    except ValidationError:
        raise _unreadable() from None
    body: dict[str, Any] = sealed.record.model_dump(mode="json", exclude_none=True)
    if rfc8785.dumps({"record": body, "signature": sealed.signature}) != data:
        raise _unreadable()
    if not verify(public_key, _CONTEXT, rfc8785.dumps(body), bytes.fromhex(sealed.signature)):
        raise NightlinkError(
            "E-DLV-SIGNATURE",
            found="a record of a deletion whose signature does not verify",
            expected="one signed with the custodian's registered key",
            remedy="Keep it as evidence, and ask the custodian for its own list of deletions.",
        )
    return sealed.record


def _unreadable() -> NightlinkError:
    return NightlinkError(
        "E-DLV-MANIFEST",
        found="a record of a deletion that cannot be read",
        expected="a record as this version writes it",
        remedy="Ask the custodian for its own list of deletions.",
    )
