"""The hash chain: every alteration is found, and the first wrong entry named."""

from __future__ import annotations

import hashlib

import pytest

from linkage_core.audit.hash_chain import GENESIS, ChainEntry, ChainHead, chain_hash, check_chain
from linkage_core.errors import NightlinkError


def chain_of(events: list[str]) -> list[ChainEntry]:
    entries, previous = [], GENESIS
    for sequence, event in enumerate(events, start=1):
        digest = chain_hash(previous, event.encode())
        entries.append((sequence, previous, event, digest))
        previous = digest
    return entries


EVENTS = ["first", "second é", "third", "fourth", "fifth"]
CHAIN = chain_of(EVENTS)


def refusal(entries: list[ChainEntry], witnessed: dict[int, bytes] | None = None) -> str:
    with pytest.raises(NightlinkError) as caught:
        check_chain(entries, witnessed)
    assert caught.value.code == "E-AUDIT-BROKEN"
    assert not any(event in str(caught.value) for event in EVENTS)
    return caught.value.found


def test_the_hash_is_what_postgresql_computes() -> None:
    """sha256('\\x00'::bytea || previous || convert_to(event, 'UTF8'))"""
    assert chain_hash(GENESIS, "é".encode()) == hashlib.sha256(bytes(33) + b"\xc3\xa9").digest()


def test_a_whole_chain_gives_its_head() -> None:
    assert check_chain(CHAIN) == ChainHead(5, CHAIN[-1][3])
    assert check_chain([]) == ChainHead(0, GENESIS)


def test_values_as_a_database_driver_returns_them() -> None:
    rows = [(n, memoryview(before), event, memoryview(after)) for n, before, event, after in CHAIN]
    assert check_chain(rows).sequence == 5


def test_a_previous_hash_of_another_length_is_refused() -> None:
    with pytest.raises(NightlinkError, match="E-INPUT: found a previous hash of 31 bytes"):
        chain_hash(bytes(31), b"event")


def test_an_altered_event() -> None:
    sequence, previous, _, digest = CHAIN[2]
    assert refusal([*CHAIN[:2], (sequence, previous, "changed", digest), *CHAIN[3:]]) == "entry 3 altered"


def test_an_altered_event_with_its_hash_made_anew() -> None:
    sequence, previous, _, _ = CHAIN[2]
    forged = (sequence, previous, "changed", chain_hash(previous, b"changed"))
    assert refusal([*CHAIN[:2], forged, *CHAIN[3:]]) == "entry 4 that does not follow entry 3"


def test_an_altered_hash() -> None:
    sequence, previous, event, digest = CHAIN[4]
    assert refusal([*CHAIN[:4], (sequence, previous, event, digest[:-1] + b"x")]) == "entry 5 altered"


def test_a_missing_entry() -> None:
    assert refusal([*CHAIN[:2], *CHAIN[3:]]) == "entry 3 missing (the next is 4)"


def test_a_missing_first_entry() -> None:
    assert refusal(CHAIN[1:]) == "entry 1 missing (the next is 2)"


def test_a_missing_entry_with_the_rest_renumbered() -> None:
    renumbered = [(n - 1, previous, event, digest) for n, previous, event, digest in CHAIN[3:]]
    assert refusal([*CHAIN[:2], *renumbered]) == "entry 3 that does not follow entry 2"


def test_entries_swapped() -> None:
    assert refusal([CHAIN[0], CHAIN[2], CHAIN[1], *CHAIN[3:]]) == "entry 2 missing (the next is 3)"


def test_events_swapped_under_their_numbers() -> None:
    swapped = [(2, *CHAIN[2][1:]), (3, *CHAIN[1][1:])]
    assert refusal([CHAIN[0], *swapped, *CHAIN[3:]]) == "entry 2 that does not follow entry 1"


def test_an_entry_repeated() -> None:
    assert refusal([*CHAIN[:3], CHAIN[2], *CHAIN[3:]]) == "entry 3 repeated or out of order"


def test_a_lone_surrogate_is_an_alteration_and_no_crash() -> None:
    assert refusal([(1, GENESIS, "\ud800", bytes(32))]) == "entry 1 altered"


def test_witnessed_checkpoints_are_borne_out() -> None:
    witnessed = {2: CHAIN[1][3], 5: CHAIN[4][3]}
    assert check_chain(CHAIN, witnessed).sequence == 5
    assert sorted(witnessed) == [2, 5]


def test_newest_entries_cut_off_are_missed_by_their_witness() -> None:
    assert check_chain(CHAIN[:3]).sequence == 3
    assert refusal(CHAIN[:3], {2: CHAIN[1][3], 5: CHAIN[4][3]}) == "a log that ends at entry 3"


def test_a_log_made_anew_contradicts_its_witness() -> None:
    anew = chain_of(["first", "second é", "changed", "fourth", "fifth"])
    assert check_chain(anew).sequence == 5
    assert refusal(anew, {4: CHAIN[3][3]}) == "entry 4 with another hash than its witness kept"
