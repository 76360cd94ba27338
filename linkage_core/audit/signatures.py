"""Ed25519 signatures and their keys, as 32-byte seeds and hex. Zone: protocol (every party signs).

Every signature covers a context, a zero byte, and the message, so that a signature made for one purpose never
passes for another. Manifests sign under their format's name in the same way (``protocol.delivery_manifest``).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from linkage_core.errors import NightlinkError

SEED_BYTES = 32
_PUBLIC_KEY_HEX = re.compile(r"[0-9a-f]{64}")
_CONTEXT = re.compile(rb"[a-z0-9-]{1,40}")


def generate_signing_key(random_bytes: Callable[[int], bytes]) -> Ed25519PrivateKey:
    """A new key from a source of randomness, in production ``secrets.token_bytes``."""
    return signing_key_from_seed(random_bytes(SEED_BYTES))


def signing_key_from_seed(seed: bytes) -> Ed25519PrivateKey:
    """The signing key of a 32-byte seed (RFC 8032, section 5.1.5).

    Raises
    ------
    NightlinkError
        E-KEY-FILE: a seed of another length.
    """
    if len(seed) != SEED_BYTES:
        raise _wrong_key(f"a signing key's seed of {len(seed)} bytes", f"{SEED_BYTES} bytes")
    return Ed25519PrivateKey.from_private_bytes(seed)


def signing_key_seed(signing_key: Ed25519PrivateKey) -> bytes:
    """The 32-byte seed of a key: a secret."""
    return signing_key.private_bytes_raw()


def public_key_hex(signing_key: Ed25519PrivateKey) -> str:
    """The public half of a key, as 64 hex digits."""
    return signing_key.public_key().public_bytes_raw().hex()


def public_key_from_hex(text: str) -> Ed25519PublicKey:
    """Read a public key from 64 lower-case hex digits.

    Raises
    ------
    NightlinkError
        E-KEY-FILE: anything else.
    """
    if _PUBLIC_KEY_HEX.fullmatch(text) is None:
        raise _wrong_key(f"a public key of {len(text)} characters", "64 lower-case hex digits")
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))


def sign(signing_key: Ed25519PrivateKey, context: bytes, message: bytes) -> bytes:
    """Sign ``message`` for the purpose ``context``; 64 bytes, the same each time (RFC 8032 is deterministic).

    Raises
    ------
    NightlinkError
        E-INPUT: a context that is not 1 to 40 of a-z 0-9 -.
    """
    return signing_key.sign(_bound_message(context, message))


def verify(public_key: Ed25519PublicKey, context: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is the key owner's over this context and message."""
    try:
        public_key.verify(signature, _bound_message(context, message))
    except InvalidSignature:
        return False
    return True


def check_signature(public_key: Ed25519PublicKey, context: bytes, message: bytes, signature: bytes) -> None:
    """Raise unless :func:`verify` holds.

    Raises
    ------
    NightlinkError
        E-AUDIT-BROKEN.
    """
    if not verify(public_key, context, message, signature):
        raise NightlinkError(
            "E-AUDIT-BROKEN",
            found=f"a signature for {context.decode()} that does not verify",
            expected="one by the registered key",
            remedy="Compare the registered public key with its owner's, and keep the evidence.",
        )


def _bound_message(context: bytes, message: bytes) -> bytes:
    if _CONTEXT.fullmatch(context) is None:
        raise NightlinkError(
            "E-INPUT",
            found="a signature's context with other characters",
            expected="1 to 40 of a-z 0-9 -",
            remedy="Name the purpose that the signature serves.",
        )
    return context + b"\0" + message


def _wrong_key(found: str, expected: str) -> NightlinkError:
    remedy = "Make the key files anew, or copy the public key again from its owner."
    return NightlinkError("E-KEY-FILE", found=found, expected=expected, remedy=remedy)
