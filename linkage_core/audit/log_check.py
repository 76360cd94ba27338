"""Check a whole log of entries against what was kept of it, in the database and by witnesses. Zone: protocol.

Nothing that is stored is believed: the tree is made anew out of the entries' text. Stored hashes and what witnesses
keep (signed tree sizes with their roots, and single leaf hashes) say where a difference lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from linkage_core.audit.merkle_tree import TreeHead, leaf_hash

LogEntry = tuple[int, str]
"""Sequence number (from 1), and the entry's text."""
StoredNodes = Mapping[tuple[int, int], bytes]
"""Hashes as the database has them, by level and position; the leaf of entry ``n`` is ``(0, n - 1)``."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be; no text of an entry is quoted."""

    subject: str
    problem: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}"


@dataclass(frozen=True)
class Witnessed:
    """What is known of a log from outside of it.

    Attributes
    ----------
    roots : mapping of int to bytes
        The root at each signed tree size.
    leaves : mapping of int to (bytes, str)
        By sequence number, the hash of an entry, and what to call it (the night that it published).
    """

    roots: Mapping[int, bytes] = field(default_factory=dict)
    leaves: Mapping[int, tuple[bytes, str]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many entries the log must have at least."""
        return max((*self.roots, *self.leaves), default=0)


@dataclass(frozen=True)
class CheckedLog:
    """The head of the tree over the entries as they are, and what was found wrong."""

    head: TreeHead
    findings: tuple[Finding, ...]


def check_log(
    entries: Iterable[LogEntry], stored: StoredNodes, witnessed: Witnessed | None = None
) -> CheckedLog:
    """Compare entries with the stored nodes and with what witnesses keep.

    Parameters
    ----------
    entries : iterable of (sequence, text)
        In ascending order of sequence numbers. In place of one that is missing its stored leaf stands, if there is
        one: then what follows it can still be told right from wrong.
    stored : mapping
        All stored nodes.
    witnessed : Witnessed, optional

    Returns
    -------
    CheckedLog
        Findings in the order of the entries. A root that is not the witness's is put down to the entries since the
        last root that was; it is left out where one of them was found wrong already.
    """
    return _LogCheck(stored, witnessed or Witnessed()).run(entries)


class _LogCheck:
    def __init__(self, stored: StoredNodes, witnessed: Witnessed) -> None:
        self._stored, self._witnessed = stored, witnessed
        self._head = TreeHead()
        self._findings: list[Finding] = []
        self._wrong: list[int] = []
        self._borne_out = 0
        self._lost = False

    def run(self, entries: Iterable[LogEntry]) -> CheckedLog:
        self._check_root()
        for sequence, text in entries:
            if sequence <= self._head.size:
                self._found(sequence, "stands in the log twice, or out of order")
                continue
            while self._head.size + 1 < sequence:
                self._append_missing()
            self._append(leaf_hash(text.encode("utf-8", "surrogatepass")))
        self._check_end()
        return CheckedLog(self._head, tuple(self._findings))

    def _append(self, leaf: bytes) -> None:
        sequence = self._head.size + 1
        kept = self._stored.get((0, sequence - 1))
        if kept is None:
            self._found(sequence, "has lost its stored hash")
        elif kept != leaf:
            self._found(sequence, "is altered: its text does not give its stored hash")
        self._compare_witnessed_leaf(sequence, leaf)
        self._grow(leaf)

    def _append_missing(self) -> None:
        sequence = self._head.size + 1
        self._found(sequence, "is missing")
        self._grow(self._stored.get((0, sequence - 1), b""))

    def _grow(self, leaf: bytes) -> None:
        self._head, completed = self._head.append(leaf)
        for level, position, found in completed[1:]:
            if self._stored.get((level, position)) != found and not self._wrong_since(position << level):
                self._found(self._head.size, f"completes node {level}/{position}, which is stored otherwise")
        self._check_root()

    def _compare_witnessed_leaf(self, sequence: int, leaf: bytes) -> None:
        kept, name = self._witnessed.leaves.get(sequence, (leaf, ""))
        if kept != leaf and sequence not in self._wrong:
            self._found(sequence, f"is not the one that a receipt names ({name})")

    def _check_root(self) -> None:
        size = self._head.size
        kept = self._witnessed.roots.get(size)
        if kept is None or self._lost:
            return
        if kept == self._head.root:
            self._borne_out = size
            return
        self._lost = True
        if not self._wrong_since(self._borne_out):
            since = f"entries {self._borne_out + 1} to {size}" if size else "the empty log"
            self._findings.append(Finding(since, "are not those that a witness's checkpoint covers"))

    def _check_end(self) -> None:
        size, wanted = self._head.size, self._witnessed.size
        if size >= wanted:
            return
        nights = sorted({name for at, (_, name) in self._witnessed.leaves.items() if at > size})
        told = f" (of {', '.join(nights)})" if nights else ""
        self._findings.append(
            Finding(
                f"entries {size + 1} to {wanted}{told}",
                f"are gone: the log ends at {size}, and a witness has seen {wanted}. "
                "The newest were cut off, or an older backup was restored",
            )
        )

    def _wrong_since(self, size: int) -> bool:
        return any(sequence > size for sequence in self._wrong)

    def _found(self, sequence: int, problem: str) -> None:
        self._wrong.append(sequence)
        self._findings.append(Finding(f"entry {sequence}", problem))
