"""Tokens: keyed hashes of several fields together, exact or through codes. Zone: custodian.

A token tells the linkage unit one thing: whether two records agree on all its parts. A missing part makes it
null, never a constant. No token covers a single field, since equal values would then be countable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from linkage_core.custodian.code_book import code_book, keyed_values
from linkage_core.custodian.field_columns import FieldColumns, code_part
from linkage_core.protocol.evidence_spec import TokenDefinition


def encode_tokens(
    columns: FieldColumns, definitions: Sequence[TokenDefinition], keys: Mapping[str, bytes], rows: int
) -> npt.NDArray[np.uint64]:
    """Every definition's tokens: :func:`linkage_core.custodian.code_book.keyed_values` of its parts.

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
    parts = sorted({part for definition in definitions for part in definition.parts})
    book = code_book([code_part(columns, part, rows) for part in parts], rows)
    place = {part: index for index, part in enumerate(parts)}
    chosen = [[place[part] for part in definition.parts] for definition in definitions]
    return keyed_values([keys[definition.name] for definition in definitions], book, chosen)
