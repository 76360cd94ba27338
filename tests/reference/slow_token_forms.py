"""The slow, obvious twin of the forms of tokens: one record, one definition, the standard library and AESSIV."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from linkage_core.protocol.evidence_spec import TokenDefinition
from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_fingerprint
from tests.reference.slow_encoder import Record, derived_key, slow_part


def slow_token_value(
    record: Record, definition: TokenDefinition, protocol: LinkageProtocol, linkage_key: bytes
) -> bytes | None:
    """T: 16 bytes, or None where a part is missing."""
    message, fingerprint = b"", protocol_fingerprint(protocol)
    for part in definition.parts:
        taken = slow_part(record, part.field, part.code)
        if taken is None:
            return None
        message += len(taken).to_bytes(2, "little") + taken.encode("ascii")
    halves = []
    for half in ("first", "second"):
        place = (protocol.project, protocol.key_epoch)
        key = derived_key(linkage_key, *place, "file-token", half, definition.name, fingerprint)
        halves.append(hmac.digest(key, message, "sha256")[:8])
    return b"".join(half if any(half) else b"\1" + bytes(7) for half in halves)


def slow_site_form(token: bytes, definition: str, protocol: LinkageProtocol, site_key: bytes) -> bytes:
    """AES-SIV(K_site, T)."""
    context = ("nightlink-site-token-1", protocol.project, protocol.key_epoch, definition)
    return AESSIV(derived_key(site_key, *context, length=64)).encrypt(token, [_framed(*context)])


def slow_transfer_form(
    token: bytes, definition: str, protocol: LinkageProtocol, transfer_key: bytes, unit_key: bytes
) -> bytes:
    """AES-SIV(K_site->unit, T), from both private keys: the twin belongs to nobody."""
    private = X25519PrivateKey.from_private_bytes(transfer_key)
    publics = [
        private.public_key().public_bytes_raw(),
        X25519PrivateKey.from_private_bytes(unit_key).public_key().public_bytes_raw(),
    ]
    shared = private.exchange(X25519PublicKey.from_public_bytes(publics[1]))
    context = ("nightlink-transfer-token-1", protocol.project, protocol.key_epoch, definition)
    key = derived_key(shared, *context, publics[0].hex(), publics[1].hex(), length=64)
    return AESSIV(key).encrypt(token, [_framed(*context)])


def slow_project_form(token: bytes, definition: str, protocol: LinkageProtocol, tokens_key: bytes) -> bytes:
    """HMAC(K_unit, T), 16 bytes of it."""
    key = derived_key(
        tokens_key, "nightlink-project-token-1", protocol.project, protocol.key_epoch, definition
    )
    return hmac.digest(key, token, "sha256")[:16]


def _framed(*parts: str) -> bytes:
    return b"".join(len(part.encode()).to_bytes(2, "little") + part.encode() for part in parts)
