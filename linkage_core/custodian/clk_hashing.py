"""Filter positions of a linkage schema's tokens, by real keyed hashes, once for each distinct token. Zone:
custodian.

blakeHash
    Keyed BLAKE2b (RFC 7693, https://doi.org/10.17487/RFC7693) with the salt "0", "1", ...; each digest's 64
    bytes are 32 positions, little-endian 16-bit words modulo the filter's bits.
doubleHash
    ``h1 + i x h2`` for i = 0, 1, ... (Schnell, Bachteler, Reiher 2011, https://doi.org/10.2139/ssrn.3549247),
    h1 from HMAC-SHA-1 under the feature's first key and h2 from HMAC-MD5 under its second. Where h2 is 0 the
    token has one position only; ``prevent_singularity`` hashes on until it is not. Weak by design
    (Niedermeyer and others 2014, https://doi.org/10.29012/jpc.v6i2.640); offered for compatibility.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

POSITIONS_A_DIGEST = 32


def blake_positions(
    key: bytes, tokens: Sequence[bytes], digests: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint16]:
    """All 16-bit words of each token's first ``digests[t]`` digests, one token after the other.

    Returns
    -------
    ndarray of uint16, shape (32 x digests.sum(),)
        Not yet modulo the filter's bits.
    """
    most = int(digests.max(initial=0))
    salts = [str(i).encode() for i in range(most)]
    hashed = b"".join(
        hashlib.blake2b(token, key=key, salt=salts[i]).digest()
        for token, count in zip(tokens, digests.tolist(), strict=True)
        for i in range(count)
    )
    return np.frombuffer(hashed, "<u2").astype(np.uint16, copy=False)


def double_hashes(
    keys: tuple[bytes, bytes], tokens: Sequence[bytes], bits: int, *, prevent_singularity: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First position and step of each token, both modulo ``bits``."""
    first = [int.from_bytes(hmac.digest(keys[0], token, "sha1"), "big") % bits for token in tokens]
    step = [_step(keys[1], token, bits, prevent_singularity) for token in tokens]
    return np.array(first, np.int64), np.array(step, np.int64)


def _step(key: bytes, token: bytes, bits: int, prevent_singularity: bool) -> int:
    step = int.from_bytes(hmac.digest(key, token, "md5"), "big") % bits
    attempt = 0
    while prevent_singularity and step == 0:
        # One in `bits` attempts fails, so this ends; the reader of schemas refuses filters of one bit.
        step = int.from_bytes(hmac.digest(key, token + chr(attempt).encode(), "md5"), "big") % bits
        attempt += 1
    return step
