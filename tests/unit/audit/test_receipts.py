"""Receipts: what a custodian may believe of the log, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from linkage_core.audit.checkpoints import Checkpoint, sign_checkpoint
from linkage_core.audit.merkle_tree import EMPTY_ROOT, grow_tree, leaf_hash
from linkage_core.audit.receipts import (
    MAX_RECEIPT_BYTES,
    OpenedReceipt,
    Receipt,
    check_continues,
    open_receipt,
    prove_receipt,
    seal_receipt,
)
from linkage_core.errors import NightlinkError
from tests.reference.tiny_delivery import OTHER_KEY, SIGNING_KEY

AT = datetime(2026, 3, 31, 2, 3, 4, tzinfo=UTC)
LEAVES = [leaf_hash(f"entry {n}".encode()) for n in range(1, 13)]
PUBLIC = SIGNING_KEY.public_key()


def checkpoint(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    return Checkpoint("nightlink/tiny", size, grow_tree(leaves[:size])[0].root, AT)


def sealed(
    size: int = 9,
    entry: int = 8,
    earlier: tuple[int, ...] = (5,),
    leaves: list[bytes] = LEAVES,
    **changes: object,
) -> bytes:
    _, nodes = grow_tree(leaves)
    signed = checkpoint(size, leaves)
    told: dict[str, object] = {
        "project": "tiny", "custodian": "hospital", "run_id": "2026-03-31", "manifest_sha256": "a" * 64,
        "entry": entry, "entry_leaf": leaves[entry - 1].hex(),
        **prove_receipt(entry, signed, earlier, lambda level, position: nodes[level, position]),
        "checkpoint": sign_checkpoint(signed, SIGNING_KEY),
    }  # fmt: skip
    return seal_receipt(Receipt.model_validate({**told, **changes}), SIGNING_KEY)


def opened(**how: object) -> OpenedReceipt:
    return open_receipt(sealed(**how), PUBLIC, "tiny")  # type: ignore[arg-type]


def test_a_receipt_reads_as_it_was_sealed() -> None:
    found = opened()
    assert (found.receipt.entry, found.receipt.custodian) == (8, "hospital")
    assert found.checkpoint == checkpoint(9)


@pytest.mark.parametrize("seen", [None, checkpoint(0), checkpoint(3), checkpoint(5), checkpoint(9)])
def test_a_log_that_grew_is_accepted(seen: Checkpoint | None) -> None:
    check_continues(opened(earlier=(3, 5)), seen)


FORGED = [*LEAVES[:4], leaf_hash(b"another"), *LEAVES[5:]]


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ({"leaves": FORGED}, checkpoint(5)),
        ({"leaves": FORGED}, checkpoint(9)),
        ({}, checkpoint(12)),
        ({"earlier": (4,)}, checkpoint(5)),
        ({}, Checkpoint("nightlink/tiny", 0, bytes(32), AT)),
    ],
    ids=["a fork", "another log of the same size", "a shorter log", "no proof", "no empty log"],
)
def test_a_fork_is_refused_with_both_sizes(how: dict[str, object], seen: Checkpoint) -> None:
    with pytest.raises(NightlinkError, match=f"E-AUDIT-FORK.*{seen.size} which its witness saw"):
        check_continues(opened(**how), seen)


def test_what_was_the_same_up_to_there_is_no_fork() -> None:
    check_continues(opened(leaves=FORGED, earlier=(4,)), checkpoint(4))
    assert checkpoint(0).root == EMPTY_ROOT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"x" * (MAX_RECEIPT_BYTES + 1),
        sealed() + b"\n",
        sealed().replace(b'"entry":8', b'"entry":7'),
        sealed().replace(b"hospital", b"pharmacy"),
        sealed(project="other"),
        sealed(entry_leaf="b" * 64),
        sealed(inclusion=()),
        sealed(checkpoint=sign_checkpoint(checkpoint(9), OTHER_KEY)),
        sealed(checkpoint=sign_checkpoint(checkpoint(8), SIGNING_KEY)),
    ],
)
def test_other_receipts_are_refused(data: bytes) -> None:
    with pytest.raises(NightlinkError, match="E-AUDIT-RECEIPT"):
        open_receipt(data, PUBLIC, "tiny")


def test_another_signer_is_refused() -> None:
    with pytest.raises(NightlinkError, match="E-AUDIT-RECEIPT"):
        open_receipt(sealed(), OTHER_KEY.public_key(), "tiny")


def test_only_the_newest_of_many_earlier_sizes_are_proved() -> None:
    many = [leaf_hash(bytes([n])) for n in range(40)]
    found = opened(size=40, entry=40, earlier=tuple(range(1, 40)), leaves=many)
    assert [tree.size for tree in found.receipt.earlier] == list(range(24, 40))
