"""Tokens of the tokenisation world, as a table of one form or another. Zone: protocol.

A token T of a record is keyed over several fields together (``custodian.token_forms``); what is stored or sent is
never T itself, but one of three forms:

======== ============================== ======== =========================================================
form     who can make or open it        bytes    what it is
======== ============================== ======== =========================================================
site     one custodian                  32       AES-SIV of T under a key of the custodian's own
transfer one custodian, one linkage     32       AES-SIV of T under what these two share
         unit
project  the linkage unit (one way)     16       HMAC of T under the unit's key for the project
======== ============================== ======== =========================================================

Only project tokens of the two custodians are comparable, and only within one project and epoch. A missing
token is null in every form, never a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.protocol.derived_keys import framed_context
from linkage_core.protocol.siv_tokens import (
    SEALED_TOKEN_BYTES,
    SIV_KEY_BYTES,
    TOKEN_BYTES,
    open_tokens,
    seal_tokens,
)
from linkage_core.protocol.transfer_keys import TransferSecret

FORM_BYTES = {"site": SEALED_TOKEN_BYTES, "transfer": SEALED_TOKEN_BYTES, "project": TOKEN_BYTES}
TRANSFER_FORMAT = "nightlink-transfer-token-1"

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TokenPlace:
    """The project and epoch that tokens belong to; part of every key and of all associated data."""

    project: str
    key_epoch: str

    def context(self, what: str, definition: str) -> tuple[str, ...]:
        """The context of one definition's tokens in one form."""
        return (what, self.project, self.key_epoch, definition)


@dataclass(frozen=True)
class TokenColumn:
    """One definition's tokens; ``repr`` shows none.

    Attributes
    ----------
    definition : str
        As in the linkage protocol, such as ``given_name+birth_date+postcode``.
    values : ndarray of uint8, shape (n, 16 or 32)
        Zeros where a token is null.
    present : ndarray of bool, shape (n,)
    """

    definition: str
    values: Bytes = field(repr=False)
    present: npt.NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True)
class TokenTable:
    """Record pseudonyms, (n, 16) uint8, and a column of tokens for each definition."""

    pseudonyms: Bytes = field(repr=False)
    columns: tuple[TokenColumn, ...]

    def __len__(self) -> int:
        return len(self.pseudonyms)


def map_tokens(table: TokenTable, change: Callable[[str, Bytes], Bytes]) -> TokenTable:
    """The table with every column's present tokens changed, each distinct one once; nulls stay null.

    Parameters
    ----------
    change : callable
        From a definition and its distinct tokens, (k, width), to as many tokens of another form, (k, other width).
    """
    return TokenTable(table.pseudonyms, tuple(_mapped(column, change) for column in table.columns))


def _mapped(column: TokenColumn, change: Callable[[str, Bytes], Bytes]) -> TokenColumn:
    distinct, number_of_row = distinct_rows(column.values[column.present])
    changed = change(column.definition, distinct)
    values = np.zeros((len(column.present), changed.shape[1]), np.uint8)
    values[column.present] = changed[number_of_row]
    return TokenColumn(column.definition, values, column.present)


def distinct_rows(rows: Bytes) -> tuple[Bytes, npt.NDArray[np.intp]]:
    """Distinct rows in ascending byte order, and for each row the number of its own."""
    width = rows.shape[1]
    as_values = np.ascontiguousarray(rows).view(f"V{width}").reshape(-1)
    distinct, number_of_row = np.unique(as_values, return_inverse=True)
    return distinct.view(np.uint8).reshape(-1, width), number_of_row


def seal_column(key: bytes, context: tuple[str, ...], tokens: Bytes) -> Bytes:
    """AES-SIV of tokens under a derived key, bound to their context."""
    return seal_tokens(key, framed_context(context), tokens)


def open_column(key: bytes, context: tuple[str, ...], sealed: Bytes, form: str) -> Bytes:
    """What :func:`seal_column` sealed.

    Raises
    ------
    NightlinkError
        E-TOKEN-SEAL, with the definition and counts; nothing of the table is used then.
    """
    tokens, sound = open_tokens(key, framed_context(context), sealed)
    if not bool(sound.all()):
        raise NightlinkError(
            "E-TOKEN-SEAL",
            found=f"{int(np.count_nonzero(~sound))} of {len(sound)} distinct tokens of {context[-1]} that do not open",
            expected=f"tokens in {form} form, of this project and epoch, under the keys that were given",
            remedy="Compare form, protocol file and key ids; nothing was written.",
        )
    return tokens


def transfer_key(secret: TransferSecret, place: TokenPlace, definition: str) -> tuple[bytes, tuple[str, ...]]:
    """Key and context of one definition's tokens on their way from a custodian to the linkage unit."""
    context = place.context(TRANSFER_FORMAT, definition)
    return secret.key_for(context, SIV_KEY_BYTES), context
