"""What anonlink-entity-service and CODI give out: groups, similarity scores, permutations with mask, LINK_ID tables.

Zone: linkage_unit.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.candidate_pair_files import ScoredCandidates
from linkage_core.linkage_unit.clk_documents import interchange_error
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one
from linkage_core.linkage_unit.optimal_one_to_one import optimal_one_to_one
from linkage_core.linkage_unit.record_groups import Groups, Record, group_greedily, pairs_as_records
from linkage_core.linkage_unit.table_files import csv_line, unformulated

RandomBytes = Callable[[int], bytes]
Solver = Literal["greedy", "optimal"]

_PAIRS_A_PIECE = 10_000


def solve_groups(pairs: ScoredCandidates, solver: Solver, known: Sequence[Sequence[Record]] = ()) -> Groups:
    """Who is whom: groups of records, no record in two of them.

    ``greedy`` gives the groups of anonlink's ``greedy_solve``, ties included (lower parties and rows first);
    ``optimal`` gives two parties the one-to-one links of the highest total similarity.

    Parameters
    ----------
    pairs : ScoredCandidates
    solver : str
        ``optimal`` is for two parties.
    known : sequence of groups
        Given in advance: kept together; between two parties their records take part in nothing else.
    """
    if len(set(pairs.party_a.tolist()) | set(pairs.party_b.tolist())) > 2 or any(len(g) > 2 for g in known):
        if solver == "optimal":
            raise interchange_error("more than two parties", "two, for the solver optimal", "Choose greedy.")
        in_order = pairs_as_records(pairs.party_a, pairs.record_a, pairs.party_b, pairs.record_b)
        return group_greedily(in_order, merge_share=1.0, one_a_party=False, known=known)
    free = _touch_no_known(pairs, known)
    index_a, index_b, score = pairs.record_a[free], pairs.record_b[free], pairs.similarity[free]
    ties = np.zeros(len(free), np.uint64)
    if solver == "greedy":
        chosen = greedy_one_to_one(index_a, index_b, score, ties, possible=0.0)
    else:
        chosen = optimal_one_to_one(index_a, index_b, score, ties, possible=0.0).selected
    at = free[chosen]
    linked = pairs_as_records(pairs.party_a[at], pairs.record_a[at], pairs.party_b[at], pairs.record_b[at])
    return sorted([*([first, second] for first, second in linked), *(sorted(group) for group in known)])


def groups_json(groups: Groups) -> Iterator[bytes]:
    """``{"groups": [[[party, row], [party, row]], ...]}``, in pieces."""
    return _listed("groups", ([list(record) for record in group] for group in groups))


def similarity_scores_json(pairs: ScoredCandidates) -> Iterator[bytes]:
    """``{"similarity_scores": [[[party, row], [party, row], similarity], ...]}``, in the pairs' order, in pieces."""
    in_order = pairs_as_records(pairs.party_a, pairs.record_a, pairs.party_b, pairs.record_b)
    rows = zip(in_order, pairs.similarity.tolist(), strict=True)
    return _listed("similarity_scores", ([list(a), list(b), score] for (a, b), score in rows))


def permutations_with_mask(
    groups: Groups, records: tuple[int, int], random_bytes: RandomBytes
) -> tuple[list[int], list[int], list[int]]:
    """New places for both parties' records, the same for linked ones, and a mask of the places that are links.

    ``permutation_a[i]`` is the new place of row ``i`` of A. Places from the size of the smaller party on are to be
    discarded; ``mask[p]`` is 1 where place ``p`` holds a link. A party that sees the mask knows which of its records
    the other has: it goes to the analyst alone. All places are uniformly random.

    Parameters
    ----------
    groups : Groups
        Pairs of a record of party 0 and one of party 1.
    records : (int, int)
        How many records each party has.
    random_bytes : callable
        ``random_bytes(n)`` gives n random bytes, fit for secrets (``secrets.token_bytes``).
    """
    places = _shuffled(np.arange(min(records)), random_bytes)
    linked = _shuffled(np.arange(len(groups)), random_bytes)
    mask = np.zeros(min(records), np.intp)
    mask[places[: len(groups)]] = 1
    permutations = []
    for party, size in enumerate(records):
        rows = np.array([dict(groups[k])[party] for k in linked.tolist()], np.intp)
        permutation = np.full(size, -1, np.intp)
        permutation[rows] = places[: len(groups)]
        free = np.concatenate([places[len(groups) :], np.arange(min(records), size)])
        permutation[permutation < 0] = _shuffled(free, random_bytes)
        permutations.append(permutation.tolist())
    return permutations[0], permutations[1], mask.tolist()


def permutation_json(permutation: list[int], rows: int) -> bytes:
    """What one party gets: ``{"permutation": [...], "rows": n}``."""
    return json.dumps({"permutation": permutation, "rows": rows}).encode()


def mask_json(mask: list[int]) -> bytes:
    """What the analyst gets: ``{"mask": [0, 1, ...]}``."""
    return json.dumps({"mask": mask}).encode()


def link_id_csv(
    groups: Groups, names: Sequence[str], records: Sequence[int], random_bytes: RandomBytes
) -> Iterator[bytes]:
    """CODI's table: a random LINK_ID for each person, and the row at each party that has one; unlinked ones as well.

    Cells that a spreadsheet would run as a formula get an apostrophe in front.

    Raises
    ------
    NightlinkError
        E-INTERCHANGE when a group has two records of a party: the table has no place for them.
    """
    yield csv_line(["LINK_ID", *names])
    in_group: list[set[int]] = [set() for _ in records]
    for group in groups:
        of_party = dict(group)
        if len(of_party) != len(group):
            raise interchange_error("two records of a party in one group", "one, in a LINK_ID table")
        for party, row in group:
            in_group[party].add(row)
        yield _link_id_line(of_party, len(names), random_bytes)
    for party, size in enumerate(records):
        for row in range(size):
            if row not in in_group[party]:
                yield _link_id_line({party: row}, len(names), random_bytes)


def parse_link_ids(data: bytes, names: Sequence[str], records: Sequence[int], name: str) -> Groups:
    """Groups of at least two records from a LINK_ID table.

    Raises
    ------
    NightlinkError
        E-INTERCHANGE for another header, a row of another width, a cell that is no row of its party, or a record
        twice; it names the line, never a cell.
    """
    lines = _csv_rows(data, name)
    if not lines or lines[0] != ["LINK_ID", *(unformulated(n) for n in names)]:
        raise interchange_error(
            f"another header in {name}", f"LINK_ID and the {len(names)} parties, in order"
        )
    groups: Groups = []
    seen: set[Record] = set()
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != len(names) + 1:
            raise interchange_error(f"line {number} of {len(cells)} cells in {name}", f"{len(names) + 1}")
        group = [
            _record_of(cell, party, records, number, name) for party, cell in enumerate(cells[1:]) if cell
        ]
        if seen.intersection(group):
            raise interchange_error(f"a record twice, at line {number} of {name}", "each record once")
        seen.update(group)
        if len(group) > 1:
            groups.append(group)
    return sorted(groups)


def _touch_no_known(pairs: ScoredCandidates, known: Sequence[Sequence[Record]]) -> npt.NDArray[np.intp]:
    taken = {record for group in known for record in group}
    if not taken:
        return np.arange(len(pairs))
    in_order = pairs_as_records(pairs.party_a, pairs.record_a, pairs.party_b, pairs.record_b)
    return np.flatnonzero([a not in taken and b not in taken for a, b in in_order])


def _listed(entry: str, rows: Iterator[object]) -> Iterator[bytes]:
    yield b'{"' + entry.encode() + b'": ['
    piece: list[str] = []
    first = True
    for row in rows:
        piece.append(json.dumps(row))
        if len(piece) == _PAIRS_A_PIECE:
            yield (b"" if first else b", ") + ", ".join(piece).encode()
            piece, first = [], False
    if piece:
        yield (b"" if first else b", ") + ", ".join(piece).encode()
    yield b"]}"


def _shuffled(values: npt.NDArray[np.intp], random_bytes: RandomBytes) -> npt.NDArray[np.intp]:
    """The values in an order that 16 random bytes each decide; two equal keys never happen."""
    keys = np.frombuffer(random_bytes(16 * len(values)), np.uint64).reshape(-1, 2)
    return values[np.lexsort((keys[:, 0], keys[:, 1]))]


def _link_id_line(of_party: dict[int, int], parties: int, random_bytes: RandomBytes) -> bytes:
    link_id = uuid.UUID(bytes=random_bytes(16), version=4)
    return csv_line([str(link_id), *(str(of_party.get(party, "")) for party in range(parties))])


def _csv_rows(data: bytes, name: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    except UnicodeDecodeError:
        raise interchange_error(f"bytes that are not UTF-8 in {name}", "text") from None
    except csv.Error:
        raise interchange_error(f"text that is no CSV in {name}", "a LINK_ID table") from None


def _record_of(cell: str, party: int, records: Sequence[int], number: int, name: str) -> Record:
    if not (cell.isascii() and cell.isdigit() and len(cell) <= 12 and int(cell) < records[party]):
        raise interchange_error(
            f"a cell that is no row of its party, at line {number} of {name}", "rows from 0"
        )
    return party, int(cell)
