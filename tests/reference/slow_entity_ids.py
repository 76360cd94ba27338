"""Entity ids carried from one night to the next, the obvious way: the twin of linkage.carry_entity_ids."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter

Members = dict[str, str]
"""Record to the id of its entity."""


def slow_new_id(project: str, run_id: str, staged: str) -> str:
    """Version 8 of the first 16 bytes of a SHA-256."""
    digest = bytearray(hashlib.sha256(f"{project}|{run_id}|{staged}".encode()).digest()[:16])
    digest[6] = 0x80 | digest[6] % 16
    digest[8] = 0x80 | digest[8] % 64
    return str(uuid.UUID(bytes=bytes(digest)))


def slow_carry_entity_ids(
    before: Members, staged: Members, project: str, run_id: str
) -> tuple[Members, set[tuple[str, str, str | None]]]:
    """Tonight's members under their lasting ids, and (entity, change, other entity) of what changed."""
    shared = Counter((before[record], place) for record, place in staged.items() if record in before)
    goes_to = {
        old: min((-count, place) for (o, place), count in shared.items() if o == old)[1]
        for old in {old for old, _ in shared}
    }
    lasting: dict[str, str] = {}
    for place in set(staged.values()):
        claims = [(-shared[old, place], old) for old, chosen in goes_to.items() if chosen == place]
        lasting[place] = min(claims)[1] if claims else slow_new_id(project, run_id, place)
    changes: set[tuple[str, str, str | None]] = set()
    for old in set(before.values()):
        if old not in goes_to:
            changes.add((old, "dissolved", None))
        elif lasting[goes_to[old]] != old:
            changes.add((old, "merged_into", lasting[goes_to[old]]))
    for old, place in shared:
        if lasting[place] not in goes_to:
            changes.add((lasting[place], "split_from", old))
    return {record: lasting[place] for record, place in staged.items()}, changes
