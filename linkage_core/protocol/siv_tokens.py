"""AES-SIV of many 16-byte tokens at once. Zone: protocol.

RFC 5297 (https://doi.org/10.17487/RFC5297) with one string of associated data, for the one length that tokens
have. For a plaintext of exactly one block S2V needs a single AES call (its last CMAC is over one whole
block) and CTR another, so that a million tokens are two runs of AES over one buffer, where a call for each
token costs microseconds of its own. The result is what ``cryptography``'s AESSIV gives, to the byte; the
tests hold them together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from linkage_core.errors import NightlinkError

TOKEN_BYTES = 16
SEALED_TOKEN_BYTES = 32
"""The synthetic IV, then the token under it."""

SIV_KEY_BYTES = 64
_BLOCK_BYTES = 16
_REDUCTION = 0x87  # x^128 + x^7 + x^2 + x + 1
_CLEARED_BITS = np.frombuffer(bytes.fromhex("ffffffffffffffff7fffffff7fffffff"), np.uint8)

Bytes = npt.NDArray[np.uint8]


def seal_tokens(key: bytes, associated: bytes, tokens: Bytes) -> Bytes:
    """AES-256-SIV of every token under one key; equal tokens give equal results.

    Parameters
    ----------
    key : bytes
        64 bytes: 32 for S2V, then 32 for CTR.
    associated : bytes
        The same for all tokens.
    tokens : ndarray of uint8, shape (n, 16)

    Returns
    -------
    ndarray of uint8, shape (n, 32)

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT: a key or an array of another shape.
    """
    _check(key, tokens, TOKEN_BYTES)
    siv = _synthetic_ivs(key, associated, tokens)
    sealed = np.empty((len(tokens), SEALED_TOKEN_BYTES), np.uint8)
    sealed[:, :_BLOCK_BYTES] = siv
    sealed[:, _BLOCK_BYTES:] = tokens ^ _key_stream(key, siv)
    return sealed


def open_tokens(key: bytes, associated: bytes, sealed: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """What :func:`seal_tokens` sealed, and which rows are sound.

    Parameters
    ----------
    sealed : ndarray of uint8, shape (n, 32)

    Returns
    -------
    tokens : ndarray of uint8, shape (n, 16)
        Zeros where a row is not sound: nothing of it must be used.
    sound : ndarray of bool, shape (n,)
        False where key, associated data or bytes are not those of the sealing.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT: a key or an array of another shape.
    """
    _check(key, sealed, SEALED_TOKEN_BYTES)
    siv = np.ascontiguousarray(sealed[:, :_BLOCK_BYTES])
    tokens = sealed[:, _BLOCK_BYTES:] ^ _key_stream(key, siv)
    sound = ~np.bitwise_or.reduce(_synthetic_ivs(key, associated, tokens) ^ siv, axis=1).astype(np.bool_)
    tokens[~sound] = 0
    return tokens, sound


def _synthetic_ivs(key: bytes, associated: bytes, tokens: Bytes) -> Bytes:
    """S2V(K1, associated, token): CMAC of the one block ``token xor D`` (RFC 5297, 2.4; RFC 4493, 2.4)."""
    mac_key = key[: SIV_KEY_BYTES // 2]
    start = _xor(_doubled(_cmac(mac_key, bytes(_BLOCK_BYTES))), _cmac(mac_key, associated))
    subkey = _doubled(_aes(mac_key, bytes(_BLOCK_BYTES)))
    mask = np.frombuffer(_xor(start, subkey), np.uint8)
    return _aes_rows(mac_key, tokens ^ mask)


def _key_stream(key: bytes, siv: Bytes) -> Bytes:
    """The one block of CTR for each synthetic IV, two of its bits cleared (RFC 5297, 2.5)."""
    return _aes_rows(key[SIV_KEY_BYTES // 2 :], siv & _CLEARED_BITS)


def _aes_rows(key: bytes, blocks: Bytes) -> Bytes:
    return np.frombuffer(_aes(key, blocks.tobytes()), np.uint8).reshape(-1, _BLOCK_BYTES)


def _aes(key: bytes, blocks: bytes) -> bytes:
    """AES of each 16-byte block by itself: the permutation of which SIV is built, not a way to encrypt data."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(blocks) + encryptor.finalize()


def _cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def _doubled(block: bytes) -> bytes:
    """Multiplication by x in GF(2^128)."""
    shifted = int.from_bytes(block, "big") << 1
    reduced = shifted ^ (_REDUCTION if shifted >> 128 else 0)
    return (reduced & ((1 << 128) - 1)).to_bytes(_BLOCK_BYTES, "big")


def _xor(first: bytes, second: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(first, second, strict=True))


def _check(key: bytes, rows: Bytes, width: int) -> None:
    if len(key) != SIV_KEY_BYTES or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != width:
        raise NightlinkError(
            "E-KERNEL-INPUT",
            found=f"a key of {len(key)} bytes and rows as {rows.dtype} {rows.shape}",
            expected=f"{SIV_KEY_BYTES} bytes and uint8 of shape (n, {width})",
            remedy="Derive the key and read the rows with the functions of this package.",
        )
