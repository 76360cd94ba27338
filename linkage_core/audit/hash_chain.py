"""The audit log's hash chain: each entry's hash covers the one before it. Zone: protocol (anyone may check it).

``hash = SHA256(0x00 || previous || event)``, with the event as UTF-8 text. The zero byte is the leaf prefix
of RFC 6962, section 2.1: entries can become the leaves of a Merkle log later, and no leaf passes for a node.
In PostgreSQL::

    sha256('\\x00'::bytea || previous || convert_to(event, 'UTF8'))

A chain alone cannot show that its newest entries were cut off, or that all of it was made anew: for that a
witness keeps checkpoints (a sequence number and its hash), and :func:`check_chain` compares them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from linkage_core.errors import NightlinkError

HASH_BYTES = 32
GENESIS = bytes(HASH_BYTES)
"""What the first entry has for a previous hash."""

_LEAF_PREFIX = b"\x00"

ChainEntry = tuple[int, bytes, str, bytes]
"""Sequence number (from 1), previous hash, event text, hash."""


@dataclass(frozen=True)
class ChainHead:
    """The newest entry's sequence number and hash; 0 and GENESIS for an empty log."""

    sequence: int
    hash: bytes


def chain_hash(previous: bytes, event: bytes) -> bytes:
    """SHA-256 over the leaf prefix, the previous hash (32 bytes) and the event.

    Raises
    ------
    NightlinkError
        E-INPUT: a previous hash of another length, which would let bytes move between hash and event.
    """
    if len(previous) != HASH_BYTES:
        raise NightlinkError(
            "E-INPUT",
            found=f"a previous hash of {len(previous)} bytes",
            expected=f"{HASH_BYTES} bytes",
            remedy="Pass the last entry's hash, or GENESIS for the first.",
        )
    return hashlib.sha256(_LEAF_PREFIX + previous + event).digest()


def check_chain(entries: Iterable[ChainEntry], witnessed: Mapping[int, bytes] | None = None) -> ChainHead:
    """Check every entry in the order given, which must be that of the sequence numbers, from 1 without a gap.

    Parameters
    ----------
    entries : iterable of (sequence, previous, event_text, hash)
        The log, streamed; ``memoryview`` values, as database drivers return them, will do.
    witnessed : mapping of int to bytes, optional
        Checkpoints that someone kept outside the warehouse: the hash that an entry had.

    Returns
    -------
    ChainHead
        The last entry, for a witness to keep.

    Raises
    ------
    NightlinkError
        E-AUDIT-BROKEN, naming the first entry that is altered, missing or out of order, or a checkpoint that
        the log does not bear out. Events are never quoted.
    """
    checkpoints = dict(witnessed or {})
    head = ChainHead(0, GENESIS)
    for sequence, previous, event, found_hash in entries:
        head = _next_head(head, sequence, bytes(previous), event, bytes(found_hash))
        if not hmac.compare_digest(bytes(checkpoints.pop(sequence, head.hash)), head.hash):
            raise _broken(f"entry {sequence} with another hash than its witness kept", "the witnessed hash")
    if checkpoints:
        lost = min(checkpoints)
        raise _broken(f"a log that ends at entry {head.sequence}", f"entry {lost}, which a witness has seen")
    return head


def _next_head(head: ChainHead, sequence: int, previous: bytes, event: str, found_hash: bytes) -> ChainHead:
    wanted = head.sequence + 1
    if sequence > wanted:
        raise _broken(f"entry {wanted} missing (the next is {sequence})", "sequence numbers without a gap")
    if sequence < wanted:
        raise _broken(f"entry {sequence} repeated or out of order", f"entry {wanted}")
    if previous != head.hash:
        raise _broken(f"entry {sequence} that does not follow entry {head.sequence}", "the hash before it")
    if chain_hash(previous, event.encode("utf-8", "surrogatepass")) != found_hash:
        raise _broken(f"entry {sequence} altered", "an event that gives the stored hash")
    return ChainHead(sequence, found_hash)


def _broken(found: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-AUDIT-BROKEN",
        found=found,
        expected=expected,
        remedy="Stop publishing, keep a copy of the database, and compare it with backups and checkpoints.",
    )
