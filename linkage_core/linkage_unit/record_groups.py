"""Greedy grouping of the records of any number of parties, as anonlink's solvers do it. Zone: linkage_unit.

Pairs are taken by descending similarity. A pair of different groups merges them when, with it, pairs seen so far
between the two number at least ``merge_share`` of all pairs between them; a pair that does not merge counts for
later ones. With 1.0 every two records of a group must be a pair (complete linkage), and the groups are those of
anonlink 0.15.3's ``greedy_solve``; with one record a party, those of its ``probabilistic_greedy_solve``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count

import numpy as np
import numpy.typing as npt

Record = tuple[int, int]
"""Number of the party, row of the record."""
Groups = list[list[Record]]


def group_greedily(
    pairs: Iterable[tuple[Record, Record]],
    *,
    merge_share: float,
    one_a_party: bool,
    known: Sequence[Sequence[Record]] = (),
) -> Groups:
    """Groups of at least two records, no record in two of them.

    Parameters
    ----------
    pairs : iterable of (record, record)
        By descending similarity; their order decides ties.
    merge_share : float
        In (0, 1].
    one_a_party : bool
        Refuse merges that would bring two records of a party together.
    known : sequence of groups
        Groups that are given: they are made before any pair is looked at, and may grow. Disjoint.

    Returns
    -------
    list of list of (int, int)
        Members ascend, and so do the groups, by their first member.
    """
    grouping = _Grouping(merge_share, one_a_party)
    for group in known:
        grouping.make(list(group))
    for first, second in pairs:
        grouping.see(first, second)
    return grouping.groups()


class _Grouping:
    """Groups under way: members and parties by group, each record's group, and pairs seen between groups."""

    def __init__(self, merge_share: float, one_a_party: bool) -> None:
        self._merge_share, self._one_a_party = merge_share, one_a_party
        self._numbers = count()
        self._members: dict[int, list[Record]] = {}
        self._parties: dict[int, set[int]] = {}
        self._group_of: dict[Record, int] = {}
        self._seen: defaultdict[int, dict[int, int]] = defaultdict(dict)

    def make(self, members: list[Record]) -> int:
        group = next(self._numbers)
        self._members[group] = members
        self._parties[group] = {party for party, _ in members}
        for record in members:
            self._group_of[record] = group
        return group

    def see(self, first: Record, second: Record) -> None:
        one, other = self._find(first), self._find(second)
        if one == other:
            return
        seen = self._seen[one].get(other, 0) + 1
        if seen >= self._merge_share * len(self._members[one]) * len(self._members[other]) and (
            not self._one_a_party or self._parties[one].isdisjoint(self._parties[other])
        ):
            self._merge(one, other)
        else:
            self._seen[one][other] = self._seen[other][one] = seen

    def groups(self) -> Groups:
        return sorted(sorted(members) for members in self._members.values() if len(members) > 1)

    def _find(self, record: Record) -> int:
        group = self._group_of.get(record)
        return self.make([record]) if group is None else group

    def _merge(self, one: int, other: int) -> None:
        if len(self._members[one]) < len(self._members[other]):
            one, other = other, one
        moved = self._members.pop(other)
        self._members[one].extend(moved)
        self._parties[one] |= self._parties.pop(other)
        for record in moved:
            self._group_of[record] = one
        for third, seen in self._seen.pop(other, {}).items():
            del self._seen[third][other]
            if third != one:
                total = self._seen[one].get(third, 0) + seen
                self._seen[one][third] = self._seen[third][one] = total


def pairs_as_records(
    party_a: npt.NDArray[np.intp],
    record_a: npt.NDArray[np.intp],
    party_b: npt.NDArray[np.intp],
    record_b: npt.NDArray[np.intp],
) -> Iterable[tuple[Record, Record]]:
    """Columns of pairs as tuples of plain integers."""
    first = zip(party_a.tolist(), record_a.tolist(), strict=True)
    return zip(first, zip(party_b.tolist(), record_b.tolist(), strict=True), strict=True)
