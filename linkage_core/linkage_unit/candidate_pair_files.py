"""Scored pairs of several parties, and anonlink's binary file of them. Zone: linkage_unit.

The file: a byte of version (1), then the sizes in bytes of a similarity, a party's number and a record's number,
then the pairs: similarity (IEEE 754), two parties, two records, all little-endian, without a count
(``anonlink/serialization.py`` of anonlink 0.15.3 describes it). Written here with sizes 8, 4 and 4, which are
those of anonlink's own ``find_candidate_pairs``: the same pairs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.clk_documents import interchange_error
from linkage_core.linkage_unit.dice_kernels import kernel_input

HEADER = bytes([1, 8, 4, 4])
_FLOATS = {2: "<f2", 4: "<f4", 8: "<f8"}
_UNSIGNED = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}


@dataclass(frozen=True, repr=False)
class ScoredCandidates:
    """Pairs of records of different parties, by descending similarity.

    Attributes
    ----------
    similarity : ndarray of float64, shape (m,)
        In [0, 1]. Ties ascend by (party_a, party_b, record_a, record_b), as anonlink orders them.
    party_a, party_b : ndarray of intp, shape (m,)
        Numbers of the parties, from 0, ``party_a < party_b``.
    record_a, record_b : ndarray of intp, shape (m,)
        Rows of the parties' records.
    """

    similarity: npt.NDArray[np.float64]
    party_a: npt.NDArray[np.intp]
    party_b: npt.NDArray[np.intp]
    record_a: npt.NDArray[np.intp]
    record_b: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.similarity)


def order_candidates(
    similarity: npt.NDArray[np.float64],
    parties: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    records: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
) -> ScoredCandidates:
    """Pairs in the order that :class:`ScoredCandidates` states, each with the lower party first."""
    swap = parties[0] > parties[1]
    party_a, party_b = (np.where(swap, parties[1 - k], parties[k]) for k in (0, 1))
    record_a, record_b = (np.where(swap, records[1 - k], records[k]) for k in (0, 1))
    order = np.lexsort((record_b, record_a, party_b, party_a, -similarity))
    return ScoredCandidates(
        similarity[order], party_a[order], party_b[order], record_a[order], record_b[order]
    )


def dump_candidates(pairs: ScoredCandidates) -> bytes:
    """The pairs as anonlink's file, in their order.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT for a number that takes more than four bytes.
    """
    table = np.empty(len(pairs), _entry_dtype(8, 4, 4))
    for name in table.dtype.names or ():
        column = getattr(pairs, name)
        if name != "similarity" and len(column) and not 0 <= column.min() <= column.max() < 1 << 32:
            raise kernel_input(f"{name} outside four bytes", "numbers from 0 to 2**32 - 1")
        table[name] = column
    return HEADER + table.tobytes()


def load_candidates(data: bytes, records: Sequence[int], name: str) -> ScoredCandidates:
    """Pairs from anonlink's file, brought into the stated order.

    Parameters
    ----------
    data : bytes
        The whole file.
    records : sequence of int
        How many records each party has; pairs may name no other party or record.
    name : str
        What errors call the file.

    Raises
    ------
    NightlinkError
        E-INTERCHANGE for another version or size, a broken end, a similarity outside [0, 1], a party or record
        that does not exist, two records of one party, or a pair twice.
    """
    table = _entries(data, name)
    similarity = table["similarity"].astype(np.float64)
    if not bool(np.all((similarity >= 0) & (similarity <= 1))):
        raise interchange_error(f"a similarity outside 0 to 1 in {name}", "similarities from 0 to 1")
    parties, rows = _numbers(table, ("party_a", "party_b")), _numbers(table, ("record_a", "record_b"))
    sizes = np.array(records, np.intp)
    for party, row in zip(parties, rows, strict=True):
        if len(party) and (party.max() >= len(sizes) or party.min() < 0):
            raise interchange_error(
                f"a pair of a party that does not exist in {name}", f"{len(sizes)} parties"
            )
        if bool(np.any((row < 0) | (row >= sizes[party]))):
            raise interchange_error(
                f"a pair of a record that does not exist in {name}", "rows of the parties"
            )
    if bool(np.any(parties[0] == parties[1])):
        raise interchange_error(f"a pair within one party in {name}", "pairs of different parties")
    ordered = order_candidates(similarity, parties, rows)
    _refuse_repeated(ordered, name)
    return ordered


def _entry_dtype(similarity: int, party: int, record: int) -> np.dtype[np.void]:
    floats, small, large = _FLOATS[similarity], _UNSIGNED[party], _UNSIGNED[record]
    return np.dtype([
        ("similarity", floats), ("party_a", small), ("party_b", small), ("record_a", large), ("record_b", large),
    ])  # fmt: skip


def _entries(data: bytes, name: str) -> npt.NDArray[np.void]:
    if len(data) < len(HEADER) or data[0] != HEADER[0]:
        raise interchange_error(
            f"no header of version {HEADER[0]} in {name}", "a file of anonlink's candidates"
        )
    similarity, party, record = data[1:4]
    if similarity not in _FLOATS or party not in _UNSIGNED or record not in _UNSIGNED:
        raise interchange_error(
            f"sizes {similarity}, {party} and {record} in {name}", "2, 4, 8 and 1, 2, 4, 8"
        )
    dtype = _entry_dtype(similarity, party, record)
    if (len(data) - len(HEADER)) % dtype.itemsize:
        raise interchange_error(f"a broken last pair in {name}", f"whole pairs of {dtype.itemsize} bytes")
    return np.frombuffer(data, dtype, offset=len(HEADER))


def _numbers(
    table: npt.NDArray[np.void], names: tuple[str, str]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Columns as intp; what overflows becomes negative, and no record has a negative number."""
    first, second = (table[name].astype(np.intp) for name in names)
    return first, second


def _refuse_repeated(pairs: ScoredCandidates, name: str) -> None:
    order = np.lexsort((pairs.record_b, pairs.record_a, pairs.party_b, pairs.party_a))
    columns = (pairs.party_a, pairs.party_b, pairs.record_a, pairs.record_b)
    same = np.ones(max(len(order) - 1, 0), np.bool_)
    for column in columns:
        same &= column[order][1:] == column[order][:-1]
    if bool(same.any()):
        raise interchange_error(f"a pair twice in {name}", "each pair once")
