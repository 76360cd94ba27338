"""A whole log against what was kept of it: each alteration is found, and the right entry named."""

from __future__ import annotations

import pytest

from linkage_core.audit.log_check import LogEntry, Witnessed, check_log
from linkage_core.audit.merkle_tree import EMPTY_ROOT, grow_tree, leaf_hash

TEXTS = [f"entry number {number}, of nobody" for number in range(1, 8)]
LOG: list[LogEntry] = list(enumerate(TEXTS, start=1))
LEAVES = [leaf_hash(text.encode()) for text in TEXTS]
HEAD, STORED = grow_tree(LEAVES)
ROOTS = {size: grow_tree(LEAVES[:size])[0].root for size in range(len(TEXTS) + 1)}
WITNESSED = Witnessed(
    {2: ROOTS[2], 5: ROOTS[5], 7: ROOTS[7]}, {5: (LEAVES[4], "night A"), 7: (LEAVES[6], "night B")}
)


def findings(
    log: list[LogEntry], stored: object = STORED, witnessed: Witnessed | None = WITNESSED
) -> list[str]:
    told = [str(finding) for finding in check_log(log, stored, witnessed).findings]  # type: ignore[arg-type]
    assert not any("nobody" in line for line in told)
    return told


def altered(sequence: int) -> list[LogEntry]:
    return [(n, "altered, of nobody" if n == sequence else text) for n, text in LOG]


def test_a_whole_log_gives_its_head() -> None:
    checked = check_log(iter(LOG), STORED, WITNESSED)
    assert (checked.head, checked.findings) == (HEAD, ())


def test_an_empty_log_is_whole_unless_somebody_saw_more() -> None:
    assert findings([], {}, None) == []
    assert check_log([], {}).head.root == EMPTY_ROOT
    assert "entries 1 to 7 (of night A, night B): are gone" in findings([], {})[0]


@pytest.mark.parametrize("sequence", range(1, 8))
def test_an_altered_entry_is_named_alone(sequence: int) -> None:
    told = findings(altered(sequence))
    assert told == [f"entry {sequence}: is altered: its text does not give its stored hash"]


@pytest.mark.parametrize("sequence", range(1, 8))
def test_an_entry_altered_with_all_stored_hashes_is_found_by_the_witness(sequence: int) -> None:
    log = altered(sequence)
    _, forged = grow_tree(leaf_hash(text.encode()) for _, text in log)
    assert findings(log, forged, None) == []
    wanted = {
        1: "entries 1 to 2: are not those",
        2: "entries 1 to 2: are not those",
        3: "entries 3 to 5: are not those",
        4: "entries 3 to 5: are not those",
        5: "entry 5: is not the one that a receipt names (night A)",
        6: "entries 6 to 7: are not those",
        7: "entry 7: is not the one that a receipt names (night B)",
    }
    [told] = findings(log, forged)
    assert told.startswith(wanted[sequence])


@pytest.mark.parametrize("sequence", range(1, 7))
def test_a_missing_entry_is_named_alone(sequence: int) -> None:
    assert findings([entry for entry in LOG if entry[0] != sequence]) == [f"entry {sequence}: is missing"]


def test_the_newest_entries_cut_off_are_found_by_the_witness_alone() -> None:
    stored = {place: found for place, found in STORED.items() if (place[1] + 1) << place[0] <= 5}
    assert findings(LOG[:5], stored, None) == []
    [told] = findings(LOG[:5], stored)
    assert told.startswith(
        "entries 6 to 7 (of night B): are gone: the log ends at 5, and a witness has seen 7"
    )
    assert "cut off, or an older backup" in told


def test_two_entries_swapped_are_both_named() -> None:
    log = [*LOG[:2], (3, TEXTS[5]), *LOG[3:5], (6, TEXTS[2]), LOG[6]]
    assert [line.split(":")[0] for line in findings(log)] == ["entry 3", "entry 6"]


def test_an_entry_twice_is_named() -> None:
    assert findings([*LOG[:3], *LOG[2:]]) == ["entry 3: stands in the log twice, or out of order"]


def test_stored_hashes_alone_altered_or_lost_are_named() -> None:
    assert findings(LOG, {**STORED, (1, 1): bytes(32)}) == [
        "entry 4: completes node 1/1, which is stored otherwise"
    ]
    assert findings(LOG, {**STORED, (0, 3): bytes(32)})[0].startswith("entry 4: is altered")
    lost = {place: found for place, found in STORED.items() if place != (0, 6)}
    assert findings(LOG, lost) == ["entry 7: has lost its stored hash"]


def test_a_witness_of_the_empty_log_is_borne_out() -> None:
    assert findings(LOG, STORED, Witnessed({0: EMPTY_ROOT})) == []
    assert "the empty log" in findings(LOG, STORED, Witnessed({0: bytes(32)}))[0]
