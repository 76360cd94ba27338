"""The key that one custodian and the linkage unit share, and nobody else. Zone: protocol.

Static-static X25519 (RFC 7748, https://doi.org/10.17487/RFC7748): each custodian has a transfer key, the
linkage unit an encryption key; each side computes the same secret from its own private half and the other's
public half. Nothing random enters, so that the same inputs still give the same bytes; and since nobody but
the two can compute it, what opens under it came from that custodian (or from the linkage unit itself).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from linkage_core.errors import NightlinkError
from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.key_files import KEY_BYTES

KEY_ID_DIGITS = 16
_PUBLIC_KEY_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class TransferSecret:
    """What a custodian and the linkage unit share; ``repr`` shows public halves only.

    Attributes
    ----------
    secret : bytes
        The 32-byte result of X25519: never a key itself, only the root of :meth:`key_for`.
    transfer_public, unit_public : str
        The public keys of the custodian and of the linkage unit, 64 hex digits each.
    """

    secret: bytes = field(repr=False)
    transfer_public: str
    unit_public: str

    @property
    def transfer_key_id(self) -> str:
        """:func:`key_id` of the custodian's transfer key."""
        return key_id(self.transfer_public)

    @property
    def unit_key_id(self) -> str:
        """:func:`key_id` of the linkage unit's encryption key."""
        return key_id(self.unit_public)

    def key_for(self, context: tuple[str, ...], length: int = KEY_BYTES) -> bytes:
        """A key for one use; both public keys enter beside the context, as RFC 7748, section 6.1, advises."""
        return derive_key(self.secret, (*context, self.transfer_public, self.unit_public), length)


def secret_at_custodian(transfer_key: bytes, unit_public: str) -> TransferSecret:
    """The shared secret, from the custodian's private 32 bytes and the linkage unit's public key.

    Raises
    ------
    NightlinkError
        E-KEY-FILE for a private key of another length, a public key that is not 64 lower-case hex digits, or
        one with which X25519 gives zero whatever the private key.
    """
    return TransferSecret(_agree(transfer_key, unit_public), agreement_public_hex(transfer_key), unit_public)


def secret_at_linkage_unit(unit_key: bytes, transfer_public: str) -> TransferSecret:
    """The same secret as :func:`secret_at_custodian` gives, from the other halves; raises alike."""
    return TransferSecret(_agree(unit_key, transfer_public), transfer_public, agreement_public_hex(unit_key))


def agreement_public_hex(private_key: bytes) -> str:
    """The X25519 public key of a private one of 32 bytes, as 64 hex digits."""
    return _private(private_key).public_key().public_bytes_raw().hex()


def key_id(public_key: str) -> str:
    """A public key's short name in manifests and messages: 16 hex digits of its SHA-256."""
    return hashlib.sha256(bytes.fromhex(_checked_hex(public_key))).hexdigest()[:KEY_ID_DIGITS]


def _agree(private_key: bytes, public_key: str) -> bytes:
    theirs = X25519PublicKey.from_public_bytes(bytes.fromhex(_checked_hex(public_key)))
    try:
        return _private(private_key).exchange(theirs)
    except ValueError:
        raise _wrong("a public key of low order", "one that `nightlink ... keygen` printed") from None


def _private(private_key: bytes) -> X25519PrivateKey:
    if len(private_key) != KEY_BYTES:
        raise _wrong(f"a private key of {len(private_key)} bytes", f"{KEY_BYTES} bytes")
    return X25519PrivateKey.from_private_bytes(private_key)


def _checked_hex(public_key: str) -> str:
    if _PUBLIC_KEY_HEX.fullmatch(public_key) is None:
        raise _wrong(f"a public key of {len(public_key)} characters", "64 lower-case hex digits")
    return public_key


def _wrong(found: str, expected: str) -> NightlinkError:
    remedy = "Copy the public key again from its owner, or make the key file anew."
    return NightlinkError("E-KEY-FILE", found=found, expected=expected, remedy=remedy)
