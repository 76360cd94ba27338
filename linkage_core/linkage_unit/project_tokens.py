"""Tokens in transfer form to project tokens, and whether two records' tokens agree. Zone: linkage_unit.

The linkage unit opens what one custodian sealed to it and keeps a one-way hash under a key of its own for the
project: what it stores can be joined across custodians in this project, and with nothing else. Agreement is
null-aware: two tokens agree (true), differ (false), or say nothing (null) where either is missing.
"""

from __future__ import annotations

import hmac

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.siv_tokens import TOKEN_BYTES
from linkage_core.protocol.token_table import (
    TokenPlace,
    TokenTable,
    distinct_rows,
    map_tokens,
    open_column,
    transfer_key,
)
from linkage_core.protocol.transfer_keys import TransferSecret

PROJECT_FORMAT = "nightlink-project-token-1"
DISAGREE, AGREE, SAYS_NOTHING = 0, 1, -1

Rows = npt.NDArray[np.intp]


def to_project_tokens(
    table: TokenTable, place: TokenPlace, secret: TransferSecret, tokens_key: bytes
) -> TokenTable:
    """Open tokens in transfer form and hash each under the unit's key for the project.

    A project token is the first 16 bytes of HMAC-SHA256(K_unit(project, epoch, definition), T).

    Raises
    ------
    NightlinkError
        E-TOKEN-SEAL: not sealed by that custodian to this unit, or not of this project and epoch.
    """

    def change(definition: str, sealed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        key, context = transfer_key(secret, place, definition)
        tokens = open_column(key, context, sealed, "transfer")
        project_key = derive_key(tokens_key, place.context(PROJECT_FORMAT, definition))
        hashed = [hmac.digest(project_key, token.tobytes(), "sha256")[:TOKEN_BYTES] for token in tokens]
        return np.frombuffer(b"".join(hashed), np.uint8).reshape(-1, TOKEN_BYTES)

    return map_tokens(table, change)


def pairs_that_agree(a: TokenTable, b: TokenTable, max_pairs: int) -> tuple[Rows, Rows]:
    """Rows of all pairs that share at least one project token, ascending by (row of a, row of b).

    Raises
    ------
    NightlinkError
        E-INPUT: tables of other definitions. E-PAIR-BUDGET: a definition alone proposes more than ``max_pairs``,
        counted before any pair is made, or all together do.
    """
    _check_same_definitions(a, b)
    found = np.empty(0, np.int64)
    for column_a, column_b in zip(a.columns, b.columns, strict=True):
        rows = np.flatnonzero(column_a.present), np.flatnonzero(column_b.present)
        both = np.concatenate([column_a.values[rows[0]], column_b.values[rows[1]]])
        _, numbers = distinct_rows(both)
        pairs = _joined(
            rows, numbers[: len(rows[0])], numbers[len(rows[0]) :], max_pairs, column_a.definition
        )
        found = np.union1d(found, pairs[0] * len(b) + pairs[1])
        _check_budget(len(found), max_pairs, "all definitions")
    return found // max(len(b), 1), found % max(len(b), 1)


def agreement(a: TokenTable, b: TokenTable, pairs: tuple[Rows, Rows]) -> npt.NDArray[np.int8]:
    """For each pair and definition :data:`AGREE`, :data:`DISAGREE`, or :data:`SAYS_NOTHING` where one is null.

    Returns
    -------
    ndarray of int8, shape (pairs, definitions)
    """
    _check_same_definitions(a, b)
    result = np.full((len(pairs[0]), len(a.columns)), SAYS_NOTHING, np.int8)
    for d, (column_a, column_b) in enumerate(zip(a.columns, b.columns, strict=True)):
        both = column_a.present[pairs[0]] & column_b.present[pairs[1]]
        equal = (column_a.values[pairs[0][both]] == column_b.values[pairs[1][both]]).all(axis=1)
        result[both, d] = np.where(equal, AGREE, DISAGREE)
    return result


def _joined(
    rows: tuple[Rows, Rows], numbers_a: Rows, numbers_b: Rows, max_pairs: int, definition: str
) -> tuple[Rows, Rows]:
    """All pairs of rows whose tokens have the same number."""
    order = np.argsort(numbers_b, kind="stable")
    first = np.searchsorted(numbers_b[order], numbers_a, "left")
    counts = np.searchsorted(numbers_b[order], numbers_a, "right") - first
    total = int(counts.sum())
    _check_budget(total, max_pairs, definition)
    ends = np.cumsum(counts)
    place = np.arange(total) - np.repeat(ends - counts, counts) + np.repeat(first, counts)
    return np.repeat(rows[0], counts), rows[1][order[place]]


def _check_budget(pairs: int, max_pairs: int, definition: str) -> None:
    if pairs > max_pairs:
        raise NightlinkError(
            "E-PAIR-BUDGET",
            found=f"{pairs} pairs that agree on {definition}",
            expected=f"at most {max_pairs}",
            remedy="A value that many records share is the usual cause; choose definitions of more fields.",
        )


def _check_same_definitions(a: TokenTable, b: TokenTable) -> None:
    if [c.definition for c in a.columns] != [c.definition for c in b.columns]:
        raise NightlinkError(
            "E-INPUT",
            found="two token files of other definitions, or in another order",
            expected="the same columns in both",
            remedy="Make both files with the same --definition options.",
        )
