"""The kept tree against its recursive twin; and no proof holds for anything but what it was made for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linkage_core.audit.merkle_tree import (
    consistency_holds,
    consistency_proof,
    grow_tree,
    inclusion_holds,
    inclusion_proof,
    leaf_hash,
)
from tests.reference.slow_merkle import slow_consistency, slow_inclusion, slow_root

entries_of = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


@given(entries_of, st.data())
def test_roots_and_proofs_are_those_of_the_definition(entries: list[bytes], data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(entries)), "size")
    index = data.draw(st.integers(0, size - 1), "index")
    first = data.draw(st.integers(1, size), "first")
    head, nodes = grow_tree(map(leaf_hash, entries))
    assert head.root == slow_root(entries)

    def read(level: int, position: int) -> bytes:
        return nodes[level, position]

    path, proof = inclusion_proof(index, size, read), consistency_proof(first, size, read)
    assert path == slow_inclusion(index, entries[:size])
    assert proof == slow_consistency(first, entries[:size])
    assert inclusion_holds(leaf_hash(entries[index]), index, size, path, slow_root(entries[:size]))
    assert consistency_holds(first, size, proof, slow_root(entries[:first]), slow_root(entries[:size]))


@given(entries_of, st.data())
def test_an_altered_log_is_neither_consistent_nor_holds_the_entry(
    entries: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(entries) - 1), "altered")
    first = data.draw(st.integers(index + 1, len(entries)), "first")
    altered = [*entries[:index], entries[index] + b"!", *entries[index + 1 :]]
    head, nodes = grow_tree(map(leaf_hash, altered))

    def read(level: int, position: int) -> bytes:
        return nodes[level, position]

    proof = consistency_proof(first, len(altered), read)
    assert not consistency_holds(first, len(altered), proof, slow_root(entries[:first]), head.root)
    path = inclusion_proof(index, len(altered), read)
    assert not inclusion_holds(leaf_hash(entries[index]), index, len(altered), path, head.root)


@given(entries_of, st.data())
def test_one_changed_hash_breaks_a_proof(entries: list[bytes], data: st.DataObject) -> None:
    head, nodes = grow_tree(map(leaf_hash, entries))
    index = data.draw(st.integers(0, len(entries) - 1), "index")
    path = inclusion_proof(index, len(entries), lambda level, position: nodes[level, position])
    if path:
        at = data.draw(st.integers(0, len(path) - 1), "at")
        path[at] = bytes([path[at][0] ^ 1]) + path[at][1:]
        assert not inclusion_holds(leaf_hash(entries[index]), index, len(entries), path, head.root)
