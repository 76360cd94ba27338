"""What reviewers decided, as links known before the night; and how far two of them agree. Zone: linkage_unit.

A pair counts as settled when all who judged it, by their latest word, say *link*, or all say *never*; anything else
leaves it to the model. A file of known links goes before reviewers, and of two reviewed links of one record the one
that was decided first.
"""

from __future__ import annotations

import csv
import hashlib
import io
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from linkage_core.linkage_unit.known_links import HEADER, KnownLinks, parse_known_links

LINK, NEVER, UNSURE = "link", "never", "unsure"
VERDICTS = (LINK, NEVER, UNSURE)


@dataclass(frozen=True)
class PairVerdict:
    """A person's latest word on a pair: records as UUID text; ``decision`` ascends with time."""

    custodian_a: str
    record_a: str
    custodian_b: str
    record_b: str
    person: str
    verdict: str
    decision: int

    @property
    def pair(self) -> tuple[str, str, str, str]:
        """The pair, without who judged it."""
        return self.custodian_a, self.record_a, self.custodian_b, self.record_b


@dataclass(frozen=True)
class ReviewCounts:
    """Pairs that somebody decided, pairs that two did, and Cohen's kappa of those; None where it is undefined."""

    decided: int
    judged_twice: int
    kappa: float | None


def with_reviewed(known: KnownLinks | None, verdicts: Sequence[PairVerdict]) -> KnownLinks | None:
    """The known links and what reviewers settled; ``sha256`` is then of both, as one CSV text."""
    settled = _settled(verdicts, known)
    if not settled:
        return known
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(settled)
    reviewed = parse_known_links(text.getvalue().encode())
    if known is None:
        return reviewed
    both = hashlib.sha256(f"{known.sha256} {reviewed.sha256}".encode()).hexdigest()
    return KnownLinks(both, known.links + reviewed.links, known.never + reviewed.never)


def _settled(
    verdicts: Sequence[PairVerdict], known: KnownLinks | None
) -> list[tuple[str, str, str, str, str]]:
    """Pairs and their relation, in the order of their first decision; each record in one link to a custodian."""
    said: dict[tuple[str, str, str, str], list[PairVerdict]] = {}
    for verdict in sorted(verdicts, key=lambda v: v.decision):
        said.setdefault(verdict.pair, []).append(verdict)
    of_file = set() if known is None else {*known.links, *known.never}
    taken = _records_in(() if known is None else known.links)
    rows = []
    for pair, words in said.items():
        relations = {word.verdict for word in words}
        if len(relations) != 1 or relations == {UNSURE} or _as_known(pair) in of_file:
            continue
        [relation] = relations
        ends = _records_in([_as_known(pair)])
        if relation == LINK and taken & ends:
            continue
        taken |= ends if relation == LINK else set()
        rows.append((*pair, relation))
    return rows


def _as_known(pair: tuple[str, str, str, str]) -> tuple[str, bytes, str, bytes]:
    """As :func:`parse_known_links` orders a pair: the lower custodian's name first."""
    (name_a, record_a), (name_b, record_b) = sorted(
        [(pair[0], uuid.UUID(pair[1]).bytes), (pair[2], uuid.UUID(pair[3]).bytes)]
    )
    return name_a, record_a, name_b, record_b


def _records_in(links: Sequence[tuple[str, bytes, str, bytes]]) -> set[tuple[bytes, str]]:
    """Each record with the custodian that it is linked to."""
    return {(record, other) for a, ra, b, rb in links for record, other in ((ra, b), (rb, a))}


def review_counts(verdicts: Sequence[PairVerdict]) -> ReviewCounts:
    """How much was decided, and the agreement of the first two who judged a pair (:func:`cohens_kappa`)."""
    said: dict[tuple[str, str, str, str], list[str]] = {}
    for verdict in sorted(verdicts, key=lambda v: v.decision):
        said.setdefault(verdict.pair, []).append(verdict.verdict)
    twice = [(words[0], words[1]) for words in said.values() if len(words) > 1]
    return ReviewCounts(len(said), len(twice), cohens_kappa(twice))


def cohens_kappa(judged: Sequence[tuple[str, str]]) -> float | None:
    """Agreement beyond chance (Cohen 1960, doi:10.1177/001316446002000104); None where chance leaves no room."""
    if not judged:
        return None
    count = len(judged)
    agree = sum(first == second for first, second in judged) / count
    firsts, seconds = (Counter(words[k] for words in judged) for k in (0, 1))
    by_chance = sum(firsts[word] * seconds[word] for word in firsts) / count**2
    return None if by_chance == 1.0 else (agree - by_chance) / (1.0 - by_chance)
