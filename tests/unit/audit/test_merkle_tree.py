"""Known answers of the certificate-transparency reference tree, whose hashes and proofs RFC 6962 and 9162 define."""

from __future__ import annotations

import hashlib

import pytest

from linkage_core.audit.merkle_tree import (
    EMPTY_ROOT,
    TreeHead,
    consistency_holds,
    consistency_proof,
    grow_tree,
    inclusion_holds,
    inclusion_proof,
    leaf_hash,
    tree_root,
)
from linkage_core.errors import NightlinkError

ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEFT, PAIR, QUARTET = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
FIFTH, SIXTH_AND_FIFTH, LAST_PAIR, SEVENTH = (
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
)
# index from 0, size, path
INCLUSION = [
    (0, 1, []),
    (0, 8, [LEFT, PAIR, QUARTET]),
    (5, 8, [FIFTH, LAST_PAIR, ROOTS[4]]),
    (2, 3, [ROOTS[2]]),
    (1, 5, [ROOTS[1], PAIR, FIFTH]),
]
# first, second, proof
CONSISTENCY = [
    (1, 1, []),
    (1, 8, [LEFT, PAIR, QUARTET]),
    (6, 8, [SIXTH_AND_FIFTH, LAST_PAIR, ROOTS[4]]),
    (2, 5, [PAIR, FIFTH]),
    (6, 7, [SIXTH_AND_FIFTH, SEVENTH, ROOTS[4]]),
]
_, NODES = grow_tree(map(leaf_hash, ENTRIES))


def read_node(level: int, position: int) -> bytes:
    return NODES[level, position]


def raw(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size: int) -> None:
    head, _ = grow_tree(map(leaf_hash, ENTRIES[:size]))
    assert head.root.hex() == tree_root(size, read_node).hex() == ROOTS[size]
    assert head.size == size
    assert len(head.peaks) == size.bit_count()


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_known_inclusion_proofs(index: int, size: int, path: list[str]) -> None:
    assert inclusion_proof(index, size, read_node) == raw(path)
    assert inclusion_holds(leaf_hash(ENTRIES[index]), index, size, raw(path), bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("first", "second", "proof"), CONSISTENCY)
def test_known_consistency_proofs(first: int, second: int, proof: list[str]) -> None:
    assert consistency_proof(first, second, read_node) == raw(proof)
    assert consistency_holds(
        first, second, raw(proof), bytes.fromhex(ROOTS[first]), bytes.fromhex(ROOTS[second])
    )


def test_every_tree_begins_with_the_empty_one() -> None:
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT == TreeHead().root
    assert consistency_proof(0, 8, read_node) == []
    assert consistency_holds(0, 8, [], EMPTY_ROOT, bytes.fromhex(ROOTS[8]))
    assert not consistency_holds(0, 8, [], bytes(32), bytes.fromhex(ROOTS[8]))


def test_what_a_tree_does_not_have_is_refused() -> None:
    for wrong in (
        lambda: inclusion_proof(8, 8, read_node),
        lambda: inclusion_proof(-1, 8, read_node),
        lambda: consistency_proof(8, 7, read_node),
        lambda: consistency_proof(-1, 7, read_node),
    ):
        with pytest.raises(NightlinkError, match="E-INPUT"):
            wrong()


def test_proofs_of_wrong_shape_do_not_hold() -> None:
    leaf, root = leaf_hash(ENTRIES[0]), bytes.fromhex(ROOTS[8])
    path = raw([LEFT, PAIR, QUARTET])
    assert not inclusion_holds(leaf, 8, 8, path, root)
    assert not inclusion_holds(leaf, 0, 8, path[:2], root)
    assert not inclusion_holds(leaf, 0, 8, [*path, root], root)
    first = bytes.fromhex(ROOTS[6])
    proof = raw(CONSISTENCY[2][2])
    assert not consistency_holds(6, 8, [], first, root)
    assert not consistency_holds(8, 6, proof, first, root)
    assert not consistency_holds(6, 8, proof[:-1], first, root)
    assert not consistency_holds(6, 8, [*proof, root], first, root)
    assert not consistency_holds(8, 8, proof, root, root)
