"""The link table: what a night publishes, and the digest that proves it. Zone: linkage_unit.

A link names two record pseudonyms, a decision, a score band and the blocking passes that proposed it, and no
exact score: the digest can be recomputed by anybody who may read the warehouse.
"""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.candidate_pairs import pass_names_of
from linkage_core.linkage_unit.dice_kernels import kernel_input
from linkage_core.linkage_unit.link_decisions import BAND_NAMES, DECISION_NAMES, score_bands
from linkage_core.linkage_unit.table_digest import digest_of_lines
from linkage_core.protocol.encoded_records import PSEUDONYM_DTYPE

LinkRow = tuple[str, str, str, str, tuple[str, ...]]
"""pseudonym_a and pseudonym_b as UUID text, decision, score band, names of the passes in protocol order."""
NamedLinkRow = tuple[str, str, str, str, tuple[str, ...], str, str]
"""The same with the custodians of the two records: of a night of more than two custodians."""
AnyLinkRow = tuple[str, str, str, str, Sequence[str]] | tuple[str, str, str, str, Sequence[str], str, str]


@dataclass(frozen=True)
class LinkTable:
    """Links as aligned columns, in ascending byte order of (pseudonym_a, pseudonym_b).

    Attributes
    ----------
    pseudonym_a, pseudonym_b : ndarray of V16, shape (n,)
    decision : ndarray of uint8, shape (n,)
        Codes of :class:`~linkage_core.linkage_unit.link_decisions.Decision`.
    score_band : ndarray of uint8, shape (n,)
        Positions in :data:`~linkage_core.linkage_unit.link_decisions.BAND_NAMES`.
    passes : ndarray of uint32, shape (n,)
        Bit ``p`` is set when pass ``pass_names[p]`` proposed the pair.
    pass_names : tuple of str
        The protocol's passes, in its order.
    """

    pseudonym_a: npt.NDArray[np.void]
    pseudonym_b: npt.NDArray[np.void]
    decision: npt.NDArray[np.uint8]
    score_band: npt.NDArray[np.uint8]
    passes: npt.NDArray[np.uint32]
    pass_names: tuple[str, ...]

    def __post_init__(self) -> None:
        wanted = (
            ("pseudonym_a", self.pseudonym_a, PSEUDONYM_DTYPE),
            ("pseudonym_b", self.pseudonym_b, PSEUDONYM_DTYPE),
            ("decision", self.decision, np.dtype(np.uint8)),
            ("score_band", self.score_band, np.dtype(np.uint8)),
            ("passes", self.passes, np.dtype(np.uint32)),
        )
        for name, column, dtype in wanted:
            if column.dtype != dtype or column.shape != (len(self),):
                raise kernel_input(
                    f"{name} as {column.dtype} of shape {column.shape}", f"{dtype} of shape ({len(self)},)"
                )

    def __len__(self) -> int:
        return len(self.pseudonym_a)


def build_link_table(
    pseudonyms_a: npt.NDArray[np.void],
    pseudonyms_b: npt.NDArray[np.void],
    scores: npt.NDArray[np.float64],
    decisions: npt.NDArray[np.uint8],
    passes: npt.NDArray[np.uint32],
    *,
    pass_names: Sequence[str],
) -> LinkTable:
    """Link table of resolved pairs.

    Parameters
    ----------
    pseudonyms_a, pseudonyms_b : ndarray of V16, shape (m,)
        The two records of pair ``k``.
    scores : ndarray of float64, shape (m,)
        In [0, 1]; only their bands enter.
    decisions : ndarray of uint8, shape (m,)
        Of :func:`~linkage_core.linkage_unit.link_decisions.decide`; non-matches are left out.
    passes : ndarray of uint32, shape (m,)
    pass_names : sequence of str
    """
    bands = score_bands(scores)
    order = _order_by_pseudonyms(pseudonyms_a, pseudonyms_b)
    order = order[decisions[order] > 0]
    return LinkTable(
        pseudonyms_a[order],
        pseudonyms_b[order],
        decisions[order],
        bands[order],
        passes[order],
        tuple(pass_names),
    )


def links_as_rows(table: LinkTable) -> Iterator[LinkRow]:
    """Rows of text in the table's order, made for COPY into the warehouse."""
    names = {code: pass_names_of(code, table.pass_names) for code in np.unique(table.passes).tolist()}
    for k in range(len(table)):
        yield (
            str(uuid.UUID(bytes=table.pseudonym_a[k].tobytes())),
            str(uuid.UUID(bytes=table.pseudonym_b[k].tobytes())),
            DECISION_NAMES[table.decision[k]],
            BAND_NAMES[table.score_band[k]],
            names[int(table.passes[k])],
        )


def merge_link_rows(tables: Sequence[tuple[LinkTable, str, str]]) -> Iterator[NamedLinkRow]:
    """Rows of several pairs of custodians as one table, ascending by the two pseudonyms.

    Parameters
    ----------
    tables : sequence of (LinkTable, str, str)
        Each with the custodians of its records.
    """
    # UUID texts of one form sort as their bytes do
    return heapq.merge(*(_named_rows(*table) for table in tables), key=lambda row: row[:2])


def _named_rows(table: LinkTable, custodian_a: str, custodian_b: str) -> Iterator[NamedLinkRow]:
    for row in links_as_rows(table):
        yield (*row, custodian_a, custodian_b)


def link_table_digest(table: LinkTable) -> str:
    """SHA-256 of the table, as 64 hex digits: :func:`digest_of_link_rows` of its rows."""
    return digest_of_link_rows(links_as_rows(table))


def digest_of_link_rows(rows: Iterable[AnyLinkRow], buried: Iterable[bytes] = ()) -> str:
    """Digest of links, as 64 hex digits; an auditor feeds it from the warehouse.

    It is :func:`linkage_core.linkage_unit.table_digest.digest_of_lines` of a line for each link:
    ``hex_a|hex_b|decision|band|pass1,pass2`` and a newline, in UTF-8, with pseudonyms as 32 lower-case
    hex digits and passes in the protocol's order. With more than two custodians ``|custodian_a|custodian_b`` follows.

    Parameters
    ----------
    rows : iterable
        Ascending strictly by (hex_a, hex_b), which is PostgreSQL's ``ORDER BY record_a, record_b`` for uuid columns.
    buried : iterable of bytes
        The SHA-256 of the line of each link that was erased since.

    Raises
    ------
    NightlinkError
        E-INPUT when the rows are not in strictly ascending order.
    """
    return digest_of_lines(_lines(rows), buried)


def _lines(rows: Iterable[AnyLinkRow]) -> Iterator[bytes]:
    before = ("", "")
    for number, (uuid_a, uuid_b, decision, band, passes, *custodians) in enumerate(rows, start=1):
        pair = (uuid.UUID(uuid_a).hex, uuid.UUID(uuid_b).hex)
        if pair <= before:
            raise NightlinkError(
                "E-INPUT",
                found=f"link row {number} out of order or repeated",
                expected="rows in strictly ascending order of their two pseudonyms",
                remedy="Read the links with ORDER BY pseudonym_a, pseudonym_b.",
            )
        yield link_line(*pair, decision, band, passes, *custodians)
        before = pair


def link_line(
    hex_a: str, hex_b: str, decision: str, band: str, passes: Iterable[str], *custodians: str
) -> bytes:
    """One link's line; its two pseudonyms as 32 lower-case hex digits each."""
    return "|".join([hex_a, hex_b, decision, band, ",".join(passes), *custodians]).encode() + b"\n"


def _order_by_pseudonyms(
    pseudonyms_a: npt.NDArray[np.void], pseudonyms_b: npt.NDArray[np.void]
) -> npt.NDArray[np.intp]:
    halves_a = np.ascontiguousarray(pseudonyms_a).view(">u8").reshape(-1, 2)
    halves_b = np.ascontiguousarray(pseudonyms_b).view(">u8").reshape(-1, 2)
    return np.lexsort((halves_b[:, 1], halves_b[:, 0], halves_a[:, 1], halves_a[:, 0]))
