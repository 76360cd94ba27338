"""Signatures and keys. The first vector is RFC 8032, section 7.1, test 1, for the key's halves."""

from __future__ import annotations

import pytest

from linkage_core.audit.signatures import (
    check_signature,
    generate_signing_key,
    public_key_from_hex,
    public_key_hex,
    sign,
    signing_key_from_seed,
    signing_key_seed,
    verify,
)
from linkage_core.errors import NightlinkError

RFC_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
KEY = signing_key_from_seed(RFC_SEED)
PUBLIC = public_key_from_hex(RFC_PUBLIC)


def test_public_half_of_the_rfc_s_key() -> None:
    assert public_key_hex(KEY) == RFC_PUBLIC
    assert signing_key_seed(KEY) == RFC_SEED


def test_a_key_is_made_of_the_randomness_handed_in() -> None:
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return RFC_SEED

    assert public_key_hex(generate_signing_key(random_bytes)) == RFC_PUBLIC
    assert asked == [32]


def test_a_signature_holds_for_its_message_context_and_key_only() -> None:
    signature = sign(KEY, b"nightlink-test", b"message")
    other = signing_key_from_seed(bytes(32)).public_key()
    assert len(signature) == 64 and signature == sign(KEY, b"nightlink-test", b"message")
    assert verify(PUBLIC, b"nightlink-test", b"message", signature)
    assert not verify(PUBLIC, b"nightlink-test", b"messagf", signature)
    assert not verify(PUBLIC, b"nightlink-tes", b"message", signature)
    assert not verify(other, b"nightlink-test", b"message", signature)
    assert not verify(PUBLIC, b"nightlink-test", b"message", signature[:-1])
    assert not verify(PUBLIC, b"nightlink-test", b"message", b"")


def test_check_raises_where_verify_is_false() -> None:
    signature = sign(KEY, b"nightlink-test", b"message")
    check_signature(PUBLIC, b"nightlink-test", b"message", signature)
    with pytest.raises(NightlinkError, match="E-AUDIT-BROKEN: found a signature for nightlink-test"):
        check_signature(PUBLIC, b"nightlink-test", b"other", signature)


@pytest.mark.parametrize("context", [b"", b"Upper", b"a\0b", b"a" * 41])
def test_other_contexts_are_refused(context: bytes) -> None:
    with pytest.raises(NightlinkError, match="E-INPUT"):
        sign(KEY, context, b"message")


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_other_seeds_are_refused_without_showing_them(length: int) -> None:
    with pytest.raises(NightlinkError, match=f"E-KEY-FILE: found a signing key's seed of {length} bytes"):
        signing_key_from_seed(bytes(length))


@pytest.mark.parametrize("text", ["", RFC_PUBLIC[:-1], RFC_PUBLIC + "\n", RFC_PUBLIC.upper(), "g" * 64])
def test_other_public_keys_are_refused(text: str) -> None:
    with pytest.raises(NightlinkError, match="E-KEY-FILE: found a public key of"):
        public_key_from_hex(text)


def test_a_key_s_representation_holds_no_key() -> None:
    assert RFC_SEED.hex()[:8] not in repr(KEY) and repr(RFC_SEED)[2:10] not in repr(KEY)
