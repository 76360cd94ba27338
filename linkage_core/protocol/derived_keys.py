"""From one key to a key for each use, by HKDF. Zone: protocol.

HKDF-SHA256 (Krawczyk and Eronen 2010, RFC 5869, https://doi.org/10.17487/RFC5869) with the whole context in
``info``, so that no key of one use says anything of another's.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from linkage_core.protocol.key_files import KEY_BYTES

CONTEXT_TAG = "nightlink-1"


def derive_key(key: bytes, context: tuple[str, ...], length: int = KEY_BYTES) -> bytes:
    """HKDF-SHA256 of ``key`` without salt; ``info`` is :func:`framed_context` of the context."""
    info = framed_context((CONTEXT_TAG, *context))
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(key)


def framed_context(parts: tuple[str, ...]) -> bytes:
    """The parts in UTF-8, each after its length in 2 bytes, little-endian: ("ab", "c") is not ("a", "bc")."""
    encoded = [part.encode("utf-8") for part in parts]
    return b"".join(len(part).to_bytes(2, "little") + part for part in encoded)
