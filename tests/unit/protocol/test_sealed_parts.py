"""Sealed parts: they open in their own place, between their own two parties, whole, and nowhere else."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from linkage_core.errors import NightlinkError
from linkage_core.protocol.sealed_parts import SEAL_BYTES, SealHeader, open_part, seal_part
from linkage_core.protocol.transfer_keys import (
    TransferSecret,
    agreement_public_hex,
    secret_at_custodian,
    secret_at_linkage_unit,
)
from tests.reference.tiny_delivery import tiny_part

HEADER = SealHeader("tiny", "2026", "hospital", "2026-03-01", 4)
NAME = "part-0000.sealed"


def key(word: str) -> bytes:
    return hashlib.sha256(word.encode()).digest()


def secret_of(custodian: str, unit: str = "unit") -> TransferSecret:
    return secret_at_custodian(key(custodian), agreement_public_hex(key(unit)))


PART = tiny_part(20)
SEALED = seal_part(PART, NAME, HEADER, secret_of("hospital"))


def refuses(sealed: bytes, name: str, header: SealHeader, secret: TransferSecret) -> None:
    with pytest.raises(NightlinkError) as caught:
        open_part(sealed, name, header, secret)
    assert caught.value.code == "E-DLV-SEAL"


def test_a_sealed_part_opens_at_the_linkage_unit_and_holds_nothing_of_the_part() -> None:
    at_unit = secret_at_linkage_unit(key("unit"), agreement_public_hex(key("hospital")))
    assert open_part(SEALED, NAME, HEADER, at_unit) == PART
    assert len(SEALED) == len(PART) + SEAL_BYTES
    windows = {PART[i : i + 8] for i in range(len(PART) - 7)}
    assert not any(SEALED[i : i + 8] in windows for i in range(len(SEALED) - 7))


def test_equal_inputs_give_equal_bytes_and_another_place_gives_others() -> None:
    assert seal_part(PART, NAME, HEADER, secret_of("hospital")) == SEALED
    for other in (replace(HEADER, sequence=5), replace(HEADER, run_id="2026-03-02")):
        again = seal_part(PART, NAME, other, secret_of("hospital"))
        assert not {again[i : i + 8] for i in range(0, len(again), 8)} & {
            SEALED[i : i + 8] for i in range(0, len(SEALED), 8)
        }


@pytest.mark.parametrize(
    "change",
    [
        {"project": "tiny2"},
        {"key_epoch": "2027"},
        {"custodian": "pharmacy"},
        {"run_id": "x"},
        {"sequence": 5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_part_opens_in_its_own_delivery_only(change: dict[str, object]) -> None:
    refuses(SEALED, NAME, replace(HEADER, **change), secret_of("hospital"))  # type: ignore[arg-type]


def test_a_part_opens_under_its_own_name_only() -> None:
    refuses(SEALED, "part-0001.sealed", HEADER, secret_of("hospital"))


@pytest.mark.parametrize("secret", [secret_of("pharmacy"), secret_of("hospital", "another unit")])
def test_a_part_opens_between_its_own_parties_only(secret: TransferSecret) -> None:
    refuses(SEALED, NAME, HEADER, secret)


def test_an_altered_or_cut_part_does_not_open() -> None:
    secret = secret_of("hospital")
    for position in (0, 15, 16, len(SEALED) // 2, len(SEALED) - 1):
        altered = bytearray(SEALED)
        altered[position] ^= 1
        refuses(bytes(altered), NAME, HEADER, secret)
    for length in (0, 1, 15, 16, 17, len(SEALED) - 1):
        refuses(SEALED[:length], NAME, HEADER, secret)
    refuses(SEALED + b"\0", NAME, HEADER, secret)


def test_names_in_the_header_cannot_run_into_each_other() -> None:
    secret = secret_of("hospital")
    sealed = seal_part(PART, NAME, replace(HEADER, project="ab", key_epoch="c"), secret)
    refuses(sealed, NAME, replace(HEADER, project="a", key_epoch="bc"), secret)


def test_nothing_is_not_sealed() -> None:
    with pytest.raises(NightlinkError, match="E-INPUT"):
        seal_part(b"", NAME, HEADER, secret_of("hospital"))
