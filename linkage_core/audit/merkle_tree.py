"""The audit log's Merkle tree: leaves, nodes, roots and proofs. Zone: protocol (anyone may check it).

RFC 6962, section 2.1 (https://doi.org/10.17487/RFC6962), and RFC 9162, section 2.1
(https://doi.org/10.17487/RFC9162): a leaf is ``SHA-256(0x00 || entry)``, a node ``SHA-256(0x01 || left || right)``,
so that no leaf passes for a node. Node ``(level, position)`` covers the leaves ``position * 2**level`` up to, but not
including, ``(position + 1) * 2**level``; those that are complete never change again, and are all that is kept.
An append completes as many of them as the new size has zeros at its end, and one more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from linkage_core.errors import NightlinkError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()
"""The root of a tree without leaves (RFC 9162, section 2.1.1)."""

ReadNode = Callable[[int, int], bytes]
"""The hash of the complete node (level, position)."""
Node = tuple[int, int, bytes]
"""Level, position, hash."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry as a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class TreeHead:
    """A tree as far as it must be known to append to it: its size, and its peaks.

    Attributes
    ----------
    size : int
        Number of leaves.
    peaks : tuple of bytes
        Roots of the largest complete subtrees, from the left: one for each 1 in the binary size.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The root over all leaves."""
        return _fold(self.peaks)

    def append(self, leaf: bytes) -> tuple[TreeHead, list[Node]]:
        """The tree with one more leaf (its hash), and the nodes that it completed, leaf first."""
        peaks, position, level = list(self.peaks), self.size, 0
        completed = [(0, position, leaf)]
        while position & 1:
            leaf, position, level = node_hash(peaks.pop(), leaf), position >> 1, level + 1
            completed.append((level, position, leaf))
        return TreeHead(self.size + 1, (*peaks, leaf)), completed


def grow_tree(
    leaves: Iterable[bytes], head: TreeHead | None = None
) -> tuple[TreeHead, dict[tuple[int, int], bytes]]:
    """A tree over the hashes of its leaves: its head, and the complete nodes by level and position."""
    head, nodes = head or TreeHead(), {}
    for leaf in leaves:
        head, completed = head.append(leaf)
        nodes.update({(level, position): found for level, position, found in completed})
    return head, nodes


def tree_root(size: int, read_node: ReadNode) -> bytes:
    """The root of the first ``size`` leaves, out of its complete nodes."""
    return _range_root(0, size, read_node)


def inclusion_proof(index: int, size: int, read_node: ReadNode) -> list[bytes]:
    """The path from leaf ``index`` (from 0) to the root of the first ``size`` leaves (RFC 9162, 2.1.3.1).

    Raises
    ------
    NightlinkError
        E-INPUT when the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise _no_such_tree(f"leaf {index} of a tree of {size}")
    start, stop, path = 0, size, []
    while stop - start > 1:
        middle = start + _left_part(stop - start)
        if index < middle:
            path.append(_range_root(middle, stop, read_node))
            stop = middle
        else:
            path.append(_range_root(start, middle, read_node))
            start = middle
    return path[::-1]


def consistency_proof(first: int, second: int, read_node: ReadNode) -> list[bytes]:
    """Nodes which show that the tree of ``second`` leaves begins with the tree of ``first`` (RFC 9162, 2.1.4.1).

    Empty when ``first`` is 0 or ``second``.

    Raises
    ------
    NightlinkError
        E-INPUT when ``first`` is larger than ``second``, or negative.
    """
    if not 0 <= first <= second:
        raise _no_such_tree(f"a tree of {first} leaves in one of {second}")
    start, stop, path = 0, second, []
    while 0 < first < stop:
        middle = start + _left_part(stop - start)
        if first <= middle:
            path.append(_range_root(middle, stop, read_node))
            stop = middle
        else:
            path.append(_range_root(start, middle, read_node))
            start = middle
    if start:  # else the first tree is a node of the second, and its root is known
        path.append(_range_root(start, stop, read_node))
    return path[::-1]


def inclusion_holds(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a path leads from the hash of leaf ``index`` to the root of ``size`` leaves (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def consistency_holds(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> bool:
    """Whether the tree with ``second_root`` begins with the tree with ``first_root`` (RFC 9162, 2.1.4.2).

    Every tree begins with the empty one, whose root must be :data:`EMPTY_ROOT`.
    """
    if first == 0:
        return not proof and second >= 0 and first_root == EMPTY_ROOT
    if first == second:
        return not proof and first_root == second_root
    if not 0 < first < second or not proof:
        return False
    nodes = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _left_part(size: int) -> int:
    """The largest power of two below ``size``, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_root(start: int, stop: int, read_node: ReadNode) -> bytes:
    """The root over leaves ``start`` to ``stop``; ``start`` is a multiple of a power of two that is not smaller."""
    peaks = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        peaks.append(read_node(level, start >> level))
        start += 1 << level
    return _fold(peaks)


def _fold(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    *others, root = peaks
    for peak in reversed(others):
        root = node_hash(peak, root)
    return root


def _no_such_tree(found: str) -> NightlinkError:
    return NightlinkError(
        "E-INPUT",
        found=f"a proof asked for of {found}",
        expected="a leaf or a tree within the larger tree",
        remedy="Ask for a proof within the log's size.",
    )
