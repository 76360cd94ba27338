"""The delivery manifest: what a custodian says, signed, of the parts that it delivers. Zone: protocol.

On the wire it is one line of RFC 8785 canonical JSON, ``{"manifest":{...},"signature":"<128 hex>"}``. The
Ed25519 signature covers ``nightlink-delivery-3``, a zero byte, and the canonical manifest. Canonical form
sorts its keys, so the manifest's bytes can be cut out, and their signature checked, *before* a JSON parser
sees them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, Self

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_evidence import EvidenceAggregates
from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_fingerprint
from linkage_core.protocol.sealed_parts import SEAL_SCHEME, SealHeader
from linkage_core.protocol.transfer_keys import TransferSecret

DELIVERY_FORMAT = "nightlink-delivery-3"
MAX_MANIFEST_BYTES = 1 << 20
MAX_JSON_INTEGER = 2**53 - 1
"""RFC 8785 writes numbers as IEEE 754 doubles, so that larger integers would lose digits."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_HEAD, _MIDDLE, _TAIL = b'{"manifest":', b',"signature":"', b'"}'
_SIGNATURE_HEX_DIGITS = 128
_FRAME_BYTES = len(_HEAD) + len(_MIDDLE) + _SIGNATURE_HEX_DIGITS + len(_TAIL)
_SIGNATURE_HEX = re.compile(rb"[0-9a-f]{128}")


def is_safe_name(name: str) -> bool:
    """Whether ``name`` may name a file: 1 to 100 of A-Z a-z 0-9 . _ - and neither ``.`` nor ``..``."""
    return _SAFE_NAME.fullmatch(name) is not None and name not in (".", "..")


def _safe_name(name: str) -> str:
    if not is_safe_name(name):
        raise ValueError("must be 1 to 100 of A-Z a-z 0-9 . _ - and neither . nor ..")
    return name


SafeName = Annotated[str, AfterValidator(_safe_name)]
CodeVersion = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+-]{1,100}$")]
Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
KeyCheckValue = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Count = Annotated[int, Field(ge=0, le=MAX_JSON_INTEGER, strict=True)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_JSON_INTEGER, strict=True)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class PartEntry(_Frozen):
    """One part of the delivery: its file name, rows, and size in bytes and SHA-256 as it lies there, sealed."""

    name: SafeName
    rows: Count
    bytes: Count
    sha256: Sha256Hex


class Sealing(_Frozen):
    """How the parts are sealed, and the ids of the two public keys between which they are."""

    scheme: Literal["x25519-hkdf-sha256-aes-256-siv"] = SEAL_SCHEME
    transfer_key: KeyId
    linkage_unit_key: KeyId


class ExpectationCount(_Frozen):
    """What became of one set-level expectation at the custodian: counts only, never a value."""

    point: SafeName
    expectation: SafeName
    column: SafeName | None = None
    success: Annotated[bool, Field(strict=True)]
    evaluated: Count
    unexpected: Count


class WitnessedLog(_Frozen):
    """The newest signed checkpoint of the audit log that the custodian holds: its size and its Merkle root."""

    size: Count
    root: Sha256Hex


class Changes(_Frozen):
    """What a delivery of changes builds on, and what goes; its parts hold the records that are new or changed.

    ``gone`` describes a sealed file of the pseudonyms of the records that go: 16 bytes each, in ascending order.
    """

    base_sequence: PositiveCount
    base_manifest_sha256: Sha256Hex
    gone: PartEntry | None


class DeliveryManifest(_Frozen):
    """A delivery's signed description.

    ``row_count`` are the custodian's records as they stand after this delivery, and ``state_digest`` tells that
    state from any other (:func:`~linkage_core.protocol.record_state.state_digest`). Without ``changes`` the parts
    hold all of them; with ``changes``, those that are new or changed since the delivery that it names.
    ``extracted`` is ``rejected + row_count``: every row that
    was read is either in the state or counted as rejected. A rejected row counts under each rule that it breaks.
    ``aggregates`` are rates over all records of the state, for the linkage unit's model.
    ``row_commitments`` is the root over the commitments to the rows that the parts' records were made of
    (:mod:`linkage_core.audit.row_commitments`); only the custodian can open one.
    ``sequence`` grows with each delivery of a custodian; ``as_of`` is the schedule's date, no clock's.
    ``witnessed`` is what the custodian saw of the audit log before: the linkage unit refuses to go on with another one.

    Building one whose totals do not add up raises pydantic's ValidationError, its input hidden.
    """

    format: Literal["nightlink-delivery-3"] = "nightlink-delivery-3"
    project: SafeName
    custodian: SafeName
    run_id: SafeName
    sequence: PositiveCount
    as_of: date
    protocol_fingerprint: Sha256Hex
    protocol_version: PositiveCount
    key_epoch: SafeName
    key_check_value: KeyCheckValue
    code_version: CodeVersion
    sealing: Sealing
    row_count: Count
    state_digest: Sha256Hex
    changes: Changes | None
    row_commitments: Sha256Hex
    parts: tuple[PartEntry, ...] = Field(max_length=10_000)
    extracted: Count
    rejected: Count
    rejected_by_rule: dict[SafeName, Count] = Field(max_length=1000)
    expectations: tuple[ExpectationCount, ...] = Field(default=(), max_length=10_000)
    aggregates: EvidenceAggregates
    witnessed: WitnessedLog | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.changes is None and self.rows_in_parts != self.row_count:
            raise ValueError("row_count is not the sum of the parts' rows")
        if self.changes is not None and self.changes.base_sequence >= self.sequence:
            raise ValueError("changes since a later delivery")
        if self.rows_in_parts > self.row_count:
            raise ValueError("more rows in parts than records")
        if self.extracted != self.rejected + self.row_count:
            raise ValueError("extracted is not rejected + row_count")
        if len({file.name for file in self.files}) != len(self.files):
            raise ValueError("two parts have the same name")
        if self.aggregates.records != self.row_count:
            raise ValueError("aggregates over another number of records than row_count")
        return self

    @property
    def rows_in_parts(self) -> int:
        """Records that this delivery brings."""
        return sum(part.rows for part in self.parts)

    @property
    def files(self) -> tuple[PartEntry, ...]:
        """Every sealed file of the delivery."""
        gone = None if self.changes is None else self.changes.gone
        return self.parts if gone is None else (*self.parts, gone)


def seal_manifest(manifest: DeliveryManifest, signing_key: Ed25519PrivateKey) -> bytes:
    """Sign a manifest and write it in its wire form; equal manifests and keys give equal bytes.

    Raises
    ------
    NightlinkError
        E-DLV-MANIFEST: more than :data:`MAX_MANIFEST_BYTES`.
    """
    body = canonical_manifest(manifest)
    signature = signing_key.sign(_signed_message(body)).hex().encode()
    sealed = _HEAD + body + _MIDDLE + signature + _TAIL
    if len(sealed) > MAX_MANIFEST_BYTES:
        expected = f"at most {MAX_MANIFEST_BYTES}: fewer and larger parts"
        raise _unreadable(f"a manifest of {len(sealed)} bytes", expected)
    return sealed


def open_manifest(data: bytes, public_key: Ed25519PublicKey) -> DeliveryManifest:
    """Check the custodian's signature on a sealed manifest, then read it.

    Only the exact bytes that :func:`seal_manifest` writes are read: no other order, spacing or spelling.

    Raises
    ------
    NightlinkError
        E-DLV-MANIFEST: too large, torn, not JSON, not canonical, or with a wrong entry (named, without its
        value). E-DLV-SIGNATURE: not signed by the owner of ``public_key``.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise _unreadable(f"a manifest of {len(data)} bytes", f"at most {MAX_MANIFEST_BYTES}")
    body, signature = _cut(data)
    try:
        public_key.verify(signature, _signed_message(body))
    except InvalidSignature:
        raise _bad_signature() from None
    manifest = _parse(body)
    if canonical_manifest(manifest) != body:
        raise _unreadable("a manifest that is not in canonical form", "RFC 8785 canonical JSON")
    return manifest


def canonical_manifest(manifest: DeliveryManifest) -> bytes:
    """RFC 8785 canonical JSON of the manifest, without its signature."""
    return rfc8785.dumps(manifest.model_dump(mode="json"))


def manifest_digest(data: bytes) -> str:
    """SHA-256 of a sealed manifest's bytes, 64 hex digits: how ledger and audit log name a delivery."""
    return hashlib.sha256(data).hexdigest()


def check_manifest(
    manifest: DeliveryManifest, *, project: str, custodian: str, run_id: str, protocol: LinkageProtocol
) -> None:
    """Refuse a delivery of another project, custodian or run, or one made under another protocol.

    A signature alone does not stop a replay: these names are inside the signed bytes, and are compared here.

    Raises
    ------
    NightlinkError
        E-DLV-FOREIGN, E-KEY-EPOCH or E-PROTOCOL-MISMATCH.
    """
    _refuse_foreign(manifest, {"project": project, "custodian": custodian, "run_id": run_id})
    if protocol.project != project or custodian not in protocol.custodians:
        raise _foreign("a custodian or project that the protocol does not name", "one that it names")
    _refuse_other_epoch(manifest, protocol)
    agreed = {
        "protocol_fingerprint": protocol_fingerprint(protocol),
        "protocol_version": protocol.version,
    }
    for entry, expected in agreed.items():
        if getattr(manifest, entry) != expected:
            raise NightlinkError(
                "E-PROTOCOL-MISMATCH",
                found=f"{entry} {getattr(manifest, entry)} in the delivery of {manifest.custodian}",
                expected=str(expected),
                remedy="Install the same linkage protocol file at every party, and deliver again.",
            )


def check_sealing(manifest: DeliveryManifest, secret: TransferSecret) -> None:
    """Refuse a delivery whose parts are sealed between other keys than those that the two parties registered.

    Raises
    ------
    NightlinkError
        E-DLV-KEYS, naming both key ids.
    """
    named = (manifest.sealing.transfer_key, manifest.sealing.linkage_unit_key)
    if named != (secret.transfer_key_id, secret.unit_key_id):
        raise NightlinkError(
            "E-DLV-KEYS",
            found=f"the delivery of {manifest.custodian} sealed between the transfer key {named[0]} and the "
            f"linkage unit's key {named[1]}",
            expected=f"{secret.transfer_key_id} and {secret.unit_key_id}",
            remedy="Compare the public keys in both parties' settings by voice; then deliver again.",
        )


def seal_header(manifest: DeliveryManifest) -> SealHeader:
    """What the manifest's parts are bound to by their seals."""
    return SealHeader(
        manifest.project, manifest.key_epoch, manifest.custodian, manifest.run_id, manifest.sequence
    )


def check_same_key(first: DeliveryManifest, second: DeliveryManifest) -> None:
    """Refuse two deliveries that were encoded under different linkage keys.

    Key-check values may be shown: each is a truncated HMAC under a key that serves nothing else.

    Raises
    ------
    NightlinkError
        E-KEY-MISMATCH, naming both custodians with their key-check values.
    """
    same = hmac.compare_digest(first.key_check_value, second.key_check_value)
    if not same or first.key_epoch != second.key_epoch:
        raise NightlinkError(
            "E-KEY-MISMATCH",
            found=f"{_key_words(first)} and {_key_words(second)}",
            expected="one linkage key at both custodians",
            remedy="Compare the custodians' linkage key files (nothing was scored), then deliver again.",
        )


def check_part(entry: PartEntry, data: bytes) -> None:
    """Refuse a part whose size or SHA-256 is not the manifest's.

    Raises
    ------
    NightlinkError
        E-DLV-DIGEST, naming the part.
    """
    if len(data) != entry.bytes:
        raise _bad_part(f"{len(data)} bytes in part {entry.name}", f"{entry.bytes}, as its manifest says")
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise _bad_part(f"part {entry.name} with another SHA-256", "the one that its manifest says")


def describe_part(name: str, rows: int, data: bytes) -> PartEntry:
    """The manifest's entry for a part that was just written."""
    return PartEntry(name=name, rows=rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _signed_message(body: bytes) -> bytes:
    # The format's name keeps this signature from ever being read as one over something else.
    return DELIVERY_FORMAT.encode() + b"\0" + body


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """The manifest's bytes and the signature's, by position; nothing is parsed."""
    split = len(data) - _FRAME_BYTES + len(_HEAD)
    signature = data[split + len(_MIDDLE) : -len(_TAIL)]
    framed = data.startswith(_HEAD) and data[split:].startswith(_MIDDLE) and data.endswith(_TAIL)
    if len(data) <= _FRAME_BYTES or not framed or _SIGNATURE_HEX.fullmatch(signature) is None:
        raise _unreadable("a manifest that is torn or not in canonical form", "a whole sealed manifest")
    return data[len(_HEAD) : split], bytes.fromhex(signature.decode())


def _parse(body: bytes) -> DeliveryManifest:
    """Pydantic's own parser bounds the nesting; its message is dropped, since it may quote the text."""
    try:
        return DeliveryManifest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    raise _unreadable(f"a wrong entry: {_entry_name(first['loc'])}", "a manifest as this version writes it")


def _entry_name(location: tuple[int | str, ...]) -> str:
    """The outermost entry, if it is one of ours: an unknown entry's name is content, and stays unsaid."""
    known = [str(step) for step in location[:1] if step in DeliveryManifest.model_fields]
    return known[0] if known else "the document as a whole, or an entry that is not known"


def _refuse_foreign(manifest: DeliveryManifest, expected: Mapping[str, str]) -> None:
    for entry, value in expected.items():
        if getattr(manifest, entry) != value:
            raise _foreign(f"{entry} {getattr(manifest, entry)}", value)


def _refuse_other_epoch(manifest: DeliveryManifest, protocol: LinkageProtocol) -> None:
    """Before the fingerprint, which differs too: the epoch says at once who has not rotated yet."""
    if manifest.key_epoch != protocol.key_epoch:
        raise NightlinkError(
            "E-KEY-EPOCH",
            found=f"the delivery of {manifest.custodian} under the epoch {manifest.key_epoch}",
            expected=f"{protocol.key_epoch}, as this party's linkage protocol says",
            remedy="Nothing was scored. Finish the rotation at every party (runbook), then deliver again.",
        )


def _key_words(manifest: DeliveryManifest) -> str:
    return (
        f"{manifest.custodian} with key-check value {manifest.key_check_value} (epoch {manifest.key_epoch})"
    )


def _foreign(found: str, expected: str) -> NightlinkError:
    remedy = "Check which folder of the exchange the delivery was put in, and whether it was replayed."
    return NightlinkError("E-DLV-FOREIGN", found=found, expected=expected, remedy=remedy)


def _bad_part(found: str, expected: str) -> NightlinkError:
    remedy = "Quarantine the delivery and ask the custodian to deliver again."
    return NightlinkError("E-DLV-DIGEST", found=found, expected=expected, remedy=remedy)


def _bad_signature() -> NightlinkError:
    return NightlinkError(
        "E-DLV-SIGNATURE",
        found="a manifest whose signature does not verify",
        expected="one signed with the custodian's registered key",
        remedy="Quarantine the delivery; compare the registered public key with the custodian's.",
    )


def _unreadable(found: str, expected: str) -> NightlinkError:
    remedy = "Quarantine the delivery and ask the custodian to deliver again."
    return NightlinkError("E-DLV-MANIFEST", found=found, expected=expected, remedy=remedy)
