"""Links that are known before the night, and pairs that are known to be none. Zone: linkage_unit.

A reviewer's answers, or the links of an earlier system, as pairs of record pseudonyms. Known links are published
as matches and their records compete for nothing else (where a record may have one link); forbidden pairs are
set aside before anything is resolved. Pseudonyms belong to one key epoch: those of another are simply not there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import uuid
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.link_selection import LinkLimits

KNOWN_LINK = "known_link"
"""Stands among a link's passes: it was given, whatever the evidence says."""
HEADER = ["custodian_a", "record_a", "custodian_b", "record_b", "relation"]
_RELATIONS = ("link", "never")

Indices = npt.NDArray[np.intp]
_Pair = tuple[str, bytes, str, bytes]


@dataclass(frozen=True)
class KnownLinks:
    """What a file of known links says.

    Attributes
    ----------
    sha256 : str
        Of the file's bytes: the audit event names it.
    links, never : tuple of (custodian, 16 bytes, custodian, 16 bytes)
        Pairs of pseudonyms that are links, and pairs that are none; the lower custodian's name first.
    """

    sha256: str
    links: tuple[_Pair, ...] = field(repr=False)
    never: tuple[_Pair, ...] = field(repr=False)


@dataclass(frozen=True)
class PlacedLinks:
    """Rows of the known pairs whose records are in both deliveries, in the order of the file.

    ``absent`` counts the pairs of these two custodians of which a record is missing.
    """

    link_a: Indices
    link_b: Indices
    never_a: Indices
    never_b: Indices
    absent: int


def known_links_error(found: str, expected: str) -> NightlinkError:
    """E-KNOWN-LINKS; neither text may hold a pseudonym."""
    return NightlinkError(
        "E-KNOWN-LINKS",
        found=found,
        expected=expected,
        remedy="Correct the file of known links; nothing was published.",
    )


def parse_known_links(data: bytes) -> KnownLinks:
    """Read a CSV file: a header, then ``custodian_a,record_a,custodian_b,record_b,relation``.

    A relation is ``link`` or ``never``; records are pseudonyms as UUID text.

    Raises
    ------
    NightlinkError
        E-KNOWN-LINKS for another header or relation, a cell that is no UUID, a pair twice, or one custodian
        twice; it names the line, never a pseudonym.
    """
    pairs: dict[_Pair, str] = {}
    for number, cells in enumerate(_rows(data), start=2):
        pair, relation = _parse_line(cells, number)
        if pair in pairs:
            raise known_links_error(f"a pair twice, at line {number}", "each pair once")
        pairs[pair] = relation
    of_relation = {name: tuple(pair for pair, word in pairs.items() if word == name) for name in _RELATIONS}
    return KnownLinks(hashlib.sha256(data).hexdigest(), of_relation["link"], of_relation["never"])


def place_known_links(
    known: KnownLinks,
    custodians: tuple[str, str],
    pseudonyms: tuple[npt.NDArray[np.void], npt.NDArray[np.void]],
    limits: LinkLimits,
) -> PlacedLinks:
    """The rows of known pairs in two deliveries.

    Parameters
    ----------
    custodians : (str, str)
        Of side A and side B.
    pseudonyms : two ndarrays of V16, shape (na,), (nb,)
    limits : LinkLimits

    Raises
    ------
    NightlinkError
        E-KNOWN-LINKS when a record that may have one link is given two.
    """
    wanted = {pseudonym for pair in (*known.links, *known.never) for pseudonym in (pair[1], pair[3])}
    rows = [_rows_of(side, wanted) for side in pseudonyms]
    link_a, link_b, absent_links = _place(known.links, custodians, rows)
    never_a, never_b, absent_never = _place(known.never, custodians, rows)
    for limited, index in ((limits.one_a_record_of_a, link_a), (limits.one_a_record_of_b, link_b)):
        repeated = len(index) - len(np.unique(index))
        if limited and repeated:
            raise known_links_error(f"{repeated} records with a second known link", "one for each record")
    return PlacedLinks(link_a, link_b, never_a, never_b, absent_links + absent_never)


def free_pairs(index_a: Indices, index_b: Indices, placed: PlacedLinks, limits: LinkLimits) -> Indices:
    """Positions of the pairs that are left to decide: not known either way, and no rival of a known link."""
    records_b = (
        int(max(index_b.max(initial=0), placed.link_b.max(initial=0), placed.never_b.max(initial=0))) + 1
    )
    settled = np.concatenate([
        placed.link_a * records_b + placed.link_b, placed.never_a * records_b + placed.never_b,
    ])  # fmt: skip
    free = ~np.isin(index_a * records_b + index_b, settled)
    if limits.one_a_record_of_a:
        free &= ~np.isin(index_a, placed.link_a)
    if limits.one_a_record_of_b:
        free &= ~np.isin(index_b, placed.link_b)
    return np.flatnonzero(free)


def _rows(data: bytes) -> list[list[str]]:
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise known_links_error("text that is no CSV", f"lines of {','.join(HEADER)}") from None
    if not lines or lines[0] != HEADER:
        raise known_links_error("another header", ",".join(HEADER))
    return lines[1:]


def _parse_line(cells: list[str], number: int) -> tuple[_Pair, str]:
    if len(cells) != len(HEADER) or cells[4] not in _RELATIONS or cells[0] == cells[2]:
        raise known_links_error(
            f"line {number} that is no pair", "two custodians, two records, link or never"
        )
    try:
        first, second = ((cells[k], uuid.UUID(cells[k + 1]).bytes) for k in (0, 2))
    except ValueError:
        raise known_links_error(
            f"a record that is no UUID, at line {number}", "pseudonyms as UUIDs"
        ) from None
    lower, upper = sorted((first, second))
    return (*lower, *upper), cells[4]


def _rows_of(pseudonyms: npt.NDArray[np.void], wanted: set[bytes]) -> dict[bytes, int]:
    return {p: row for row, p in enumerate(map(bytes, pseudonyms)) if p in wanted}


def _place(
    pairs: tuple[_Pair, ...], custodians: tuple[str, str], rows: list[dict[bytes, int]]
) -> tuple[Indices, Indices, int]:
    placed: list[tuple[int, int]] = []
    of_these = [pair for pair in pairs if {pair[0], pair[2]} == set(custodians)]
    for first, record_first, _, record_second in of_these:
        record_a, record_b = record_first, record_second
        if first != custodians[0]:
            record_a, record_b = record_second, record_first
        if record_a in rows[0] and record_b in rows[1]:
            placed.append((rows[0][record_a], rows[1][record_b]))
    index_a, index_b = np.array(placed, np.intp).reshape(-1, 2).T
    return index_a, index_b, len(of_these) - len(placed)
