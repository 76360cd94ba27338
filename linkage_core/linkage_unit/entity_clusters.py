"""Entities: which records of several custodians are one person. Zone: linkage_unit.

Matches are joined by transitive closure, and a component stays whole when it is what one person would be: at most
one record of a custodian, and at least :data:`LEAST_DENSITY` of all pairs among its records are matches. A chain of
doubtful links (A like B, B like C, C like D) joins strangers; such components are too loose or too large, and are
split: matches are taken by descending probability, and two groups merge when they share no custodian and at least
:data:`LEAST_DENSITY` of the pairs between them are matches (:mod:`linkage_core.linkage_unit.record_groups`, the
groups of anonlink's ``probabilistic_greedy_solve``). That one record a custodian is the right limit where custodians
are free of duplicates, and that strong links go first, is from Saeedi, Peukert and Rahm 2018 (CLIP,
doi:10.1007/978-3-319-93417-4_33); how closure fails on chains, from Hassanzadeh et al. 2009
(doi:10.14778/1687627.1687771).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.record_groups import Groups, group_greedily, pairs_as_records
from linkage_core.linkage_unit.table_digest import digest_of_lines

LEAST_DENSITY = 0.5
"""Of the pairs among an entity's records. Three records in a row pass (2 of 3), four just do, five do not."""

Indices = npt.NDArray[np.intp]
EntityRow = tuple[str, str, str]
"""Entity id as UUID text, custodian, record pseudonym as UUID text."""


@dataclass(frozen=True)
class CustodianMatches:
    """Matches between two custodians: numbers of the custodians, and aligned columns.

    Attributes
    ----------
    custodian_a, custodian_b : int
    record_a, record_b : ndarray of intp, shape (m,)
        Rows of the two custodians' records.
    probability : ndarray of float64, shape (m,)
    tie_keys : ndarray of uint64, shape (m,)
        Among equal probabilities, lower goes first.
    """

    custodian_a: int
    custodian_b: int
    record_a: Indices = field(repr=False)
    record_b: Indices = field(repr=False)
    probability: npt.NDArray[np.float64] = field(repr=False)
    tie_keys: npt.NDArray[np.uint64] = field(repr=False)


@dataclass(frozen=True)
class EntityClusters:
    """Entities of at least two records, and what the guard against chains did.

    Attributes
    ----------
    entities : list of groups
        Members as (custodian's number, row), ascending; entities by their first member.
    components : int
        Connected components of the matches.
    components_split : int
        Of these, the ones that were too large or too loose.
    largest_component : int
        Records of the largest.
    """

    entities: Groups = field(repr=False)
    components: int
    components_split: int
    largest_component: int


def cluster_entities(matches: Sequence[CustodianMatches], records: Sequence[int]) -> EntityClusters:
    """Join the matches between all pairs of custodians into entities.

    Parameters
    ----------
    matches : sequence of CustodianMatches
        Of any pairs of custodians, each pair of records once.
    records : sequence of int
        How many records each custodian has.

    Notes
    -----
    The order of pairs and rows enters nowhere: ties go by the tie keys.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    offsets = np.concatenate([[0], np.cumsum(np.array(records, np.intp))])
    party_a, party_b, row_a, row_b = _in_order(matches)
    node_a, node_b = offsets[party_a] + row_a, offsets[party_b] + row_b
    used, ends = np.unique(np.concatenate([node_a, node_b]), return_inverse=True)
    if not len(used):
        return EntityClusters([], 0, 0, 0)
    first, second = ends[: len(node_a)], ends[len(node_a) :]
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(used), len(used)))
    count, label = connected_components(graph, directed=False)
    custodian = np.searchsorted(offsets, used, side="right") - 1
    whole = _stay_whole(label, count, custodian, label[first], len(records))
    kept = whole[label]
    entities = _members(label[kept], custodian[kept], (used - offsets[custodian])[kept])
    loose = np.flatnonzero(~whole[label[first]])
    columns = (column[loose] for column in (party_a, row_a, party_b, row_b))
    split = group_greedily(pairs_as_records(*columns), merge_share=LEAST_DENSITY, one_a_party=True)
    sizes = np.bincount(label, minlength=count)
    return EntityClusters(
        sorted([*entities, *split]), int(count), int(np.count_nonzero(~whole)), int(sizes.max())
    )


def entity_rows(
    clusters: EntityClusters,
    custodians: Sequence[str],
    pseudonyms: Sequence[npt.NDArray[np.void]],
    project: str,
) -> list[EntityRow]:
    """Members as rows of text, ascending by entity and record.

    An entity's id here is a digest of the project and its members' custodians and pseudonyms. The warehouse, which
    knows the nights before, replaces it by the id of the entity that it continues.
    """
    rows: list[EntityRow] = []
    for entity in clusters.entities:
        members = [(custodians[c], uuid.UUID(bytes=pseudonyms[c][row].tobytes())) for c, row in entity]
        told = "|".join([project, *(f"{name}:{record.hex}" for name, record in sorted(members))])
        entity_id = _digest_uuid(told)
        rows.extend((entity_id, name, str(record)) for name, record in members)
    return sorted(rows, key=lambda row: (row[0], row[2]))


def _digest_uuid(told: str) -> str:
    """A UUID of version 8 (RFC 9562): 122 bits of a SHA-256."""
    digest = bytearray(hashlib.sha256(told.encode()).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def digest_of_entity_rows(rows: Iterable[EntityRow], buried: Iterable[bytes] = ()) -> str:
    """Digest of members, as 64 hex digits; an auditor feeds it the warehouse's, and the leaves of erased members.

    It is :func:`linkage_core.linkage_unit.table_digest.digest_of_lines` of ``entity_hex|custodian|record_hex`` lines.

    Raises
    ------
    NightlinkError
        E-INPUT when the rows do not ascend strictly by entity and record.
    """
    return digest_of_lines(_lines(rows), buried)


def _lines(rows: Iterable[EntityRow]) -> Iterator[bytes]:
    before = ("", "")
    for number, (entity_id, custodian, record) in enumerate(rows, start=1):
        place = (uuid.UUID(entity_id).hex, uuid.UUID(record).hex)
        if place <= before:
            raise NightlinkError(
                "E-INPUT",
                found=f"entity row {number} out of order or repeated",
                expected="rows in strictly ascending order of entity and record",
                remedy="Read the members with ORDER BY entity_id, record.",
            )
        yield member_line(place[0], custodian, place[1])
        before = place


def member_line(entity_hex: str, custodian: str, record_hex: str) -> bytes:
    """One member's line."""
    return f"{entity_hex}|{custodian}|{record_hex}\n".encode()


def _in_order(matches: Sequence[CustodianMatches]) -> tuple[Indices, Indices, Indices, Indices]:
    """Columns of all matches, by descending probability, then ties."""
    parties = [
        np.concatenate(
            [np.empty(0, np.intp), *(np.full(len(m.record_a), number, np.intp) for m, number in of_side)]
        )
        for of_side in (
            [(m, m.custodian_a) for m in matches],
            [(m, m.custodian_b) for m in matches],
        )
    ]
    rows = [
        np.concatenate([np.empty(0, np.intp), *columns])
        for columns in ([m.record_a for m in matches], [m.record_b for m in matches])
    ]
    probability = np.concatenate([np.empty(0), *(m.probability for m in matches)])
    ties = np.concatenate([np.empty(0, np.uint64), *(m.tie_keys for m in matches)])
    order = np.lexsort((rows[1], rows[0], parties[1], parties[0], ties, -probability))
    return parties[0][order], parties[1][order], rows[0][order], rows[1][order]


def _stay_whole(
    label: Indices, count: int, custodian: Indices, label_of_pair: Indices, custodians: int
) -> npt.NDArray[np.bool_]:
    """Which components are what one person would be."""
    size = np.bincount(label, minlength=count)
    distinct = np.unique(label * custodians + custodian)
    of_custodians = np.bincount(distinct // custodians, minlength=count)
    matched = np.bincount(label_of_pair, minlength=count)
    whole: npt.NDArray[np.bool_] = (size == of_custodians) & (
        matched >= LEAST_DENSITY * size * (size - 1) / 2
    )
    return whole


def _members(label: Indices, custodian: Indices, row: Indices) -> Groups:
    order = np.lexsort((row, custodian, label))
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    members = list(zip(custodian[order].tolist(), row[order].tolist(), strict=True))
    starts, ends = [0, *cuts.tolist()], [*cuts.tolist(), len(members)]
    return [members[start:end] for start, end in zip(starts, ends, strict=True) if end > start]
