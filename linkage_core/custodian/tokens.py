"""Tokens: keyed hashes of several fields together, exact or through codes. Zone: custodian.

A token tells the linkage unit one thing: whether two records agree on all its parts. A missing part makes it
null, never a constant. No token covers a single field, since equal values would then be countable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import numpy.typing as npt

from linkage_core.custodian.blocking_keys import CodedColumn, blocking_values
from linkage_core.custodian.field_columns import FieldColumns, code_part
from linkage_core.protocol.evidence_spec import TokenDefinition, TokenPart
from linkage_core.protocol.linkage_protocol import BlockingPart, BlockingPass


def encode_tokens(
    columns: FieldColumns, definitions: Sequence[TokenDefinition], keys: Mapping[str, bytes], rows: int
) -> npt.NDArray[np.uint64]:
    """Every definition's tokens.

    A token is the first 8 bytes, little-endian, of HMAC-SHA256(the definition's key, its parts' codes, each
    prefixed with its length): :func:`linkage_core.custodian.blocking_keys.blocking_values`. A hash of 0
    becomes 1, since 0 means null.

    Parameters
    ----------
    columns : mapping of field to FieldColumn
        Normalised; a field that is not there makes its tokens null.
    keys : mapping of str to bytes
        One key for each definition's name.

    Returns
    -------
    ndarray of uint64, shape (rows, definitions)
    """
    parts = {part for definition in definitions for part in definition.parts}
    coded = {part: code_part(columns, part, rows) for part in sorted(parts)}
    tokens = np.zeros((rows, len(definitions)), np.uint64)
    for t, definition in enumerate(definitions):
        tokens[:, t] = _keyed_values(keys[definition.name], definition, coded, rows)
    return tokens


def _keyed_values(
    key: bytes, definition: TokenDefinition, coded: Mapping[TokenPart, CodedColumn], rows: int
) -> npt.NDArray[np.uint64]:
    # A definition has the shape of a blocking pass; only its codes go beyond those of the protocol so far.
    shape = cast(BlockingPass, SimpleNamespace(parts=definition.parts))
    return blocking_values(key, shape, cast(Mapping[BlockingPart, CodedColumn], coded), rows)
