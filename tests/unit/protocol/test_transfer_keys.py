"""What a custodian and the linkage unit share, and how public keys are named and refused."""

from __future__ import annotations

import hashlib

import pytest

from linkage_core.errors import NightlinkError
from linkage_core.protocol.transfer_keys import (
    agreement_public_hex,
    key_id,
    secret_at_custodian,
    secret_at_linkage_unit,
)

HOSPITAL, PHARMACY, UNIT = (hashlib.sha256(name).digest() for name in (b"h", b"p", b"u"))
ZERO = "00" * 32
LOW_ORDER = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"


def test_the_vectors_of_rfc_7748() -> None:
    """Section 5.2, first vector; section 6.1, the public key of Bob."""
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    theirs = "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"
    shared = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    assert secret_at_custodian(scalar, theirs).secret.hex() == shared

    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    assert agreement_public_hex(bob) == public
    assert key_id(public) == hashlib.sha256(bytes.fromhex(public)).hexdigest()[:16]


def test_both_sides_come_to_the_same_secret_and_others_to_another() -> None:
    unit_public, hospital_public = agreement_public_hex(UNIT), agreement_public_hex(HOSPITAL)
    at_hospital = secret_at_custodian(HOSPITAL, unit_public)
    assert at_hospital == secret_at_linkage_unit(UNIT, hospital_public)
    assert at_hospital.secret != secret_at_custodian(PHARMACY, unit_public).secret
    assert at_hospital.key_for(("a",)) != at_hospital.key_for(("b",))
    assert len(at_hospital.key_for(("a",), 64)) == 64
    assert (at_hospital.transfer_key_id, at_hospital.unit_key_id) == (
        key_id(hospital_public),
        key_id(unit_public),
    )


def test_repr_shows_no_secret() -> None:
    secret = secret_at_custodian(HOSPITAL, agreement_public_hex(UNIT))
    assert secret.secret.hex()[:8] not in repr(secret) and repr(secret.secret)[2:8] not in repr(secret)


@pytest.mark.parametrize("public", ["", "ab" * 31, "AB" * 32, "g" * 64, ZERO, LOW_ORDER])
def test_a_public_key_that_is_none_is_refused(public: str) -> None:
    with pytest.raises(NightlinkError) as caught:
        secret_at_linkage_unit(UNIT, public)
    assert caught.value.code == "E-KEY-FILE"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_private_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(NightlinkError, match="E-KEY-FILE: found a private key of"):
        agreement_public_hex(bytes(length))
