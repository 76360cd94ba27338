"""The digest of a table: of its leaves in order, whatever was erased, at any size of leaf bytes."""

from __future__ import annotations

import hashlib
import random

from linkage_core.linkage_unit.table_digest import digest_of_lines


def slow_digest(lines: list[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(hashlib.sha256(line).digest() for line in lines))).hexdigest()


def test_the_order_of_lines_and_which_of_them_are_erased_leave_no_trace():
    drawn = random.Random(1)
    # Enough lines that some leaves begin or end in zero bytes, which a text of fixed width would drop.
    lines = [drawn.randbytes(20) for _ in range(3000)]
    expected = slow_digest(lines)
    leaves = [hashlib.sha256(line).digest() for line in lines]
    assert any(leaf[-1] == 0 for leaf in leaves) and any(leaf[0] == 0 for leaf in leaves)
    assert digest_of_lines(lines) == digest_of_lines(reversed(lines)) == expected
    assert digest_of_lines(lines[:1000], leaves[1000:]) == digest_of_lines([], leaves) == expected
    assert digest_of_lines(lines[1:]) != expected


def test_no_line_at_all():
    assert digest_of_lines([]) == hashlib.sha256().hexdigest()
