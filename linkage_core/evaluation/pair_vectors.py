"""What tokens, profiles and filters say of a pair, as rows that a model can be trained on: the comparison's vectors.

After Datavant's comparison of tokens and Bloom filters (2022): tokens agree, differ or are null; a coarse profile (sex,
ZIP3, year of birth) agrees, differs or is null; the *collision score* is how common the two records' first name, last
name and decade of birth are together. Every value here has its null as a column of its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.dice_kernels import count_bits, dice_pairs
from linkage_core.protocol.encoded_evidence import NULL_TOKEN

Rows = npt.NDArray[np.intp]
Columns = npt.NDArray[np.float32]
MISSING_CODE = -1


def ternary_columns(
    values_a: npt.NDArray[np.generic], values_b: npt.NDArray[np.generic], null: int
) -> Columns:
    """Whether pairs agree, and whether either side is null, column by column.

    Parameters
    ----------
    values_a, values_b : ndarray, shape (m, columns)
        Of the pairs' first and second records.
    null : int
        The value that stands for a missing one.

    Returns
    -------
    ndarray of float32, shape (m, 2 * columns)
        Agreement of all columns, then null of all columns; both are 0 where the values differ.
    """
    is_null = (values_a == null) | (values_b == null)
    return np.concatenate(
        [(values_a == values_b) & ~is_null, is_null], axis=1, dtype=np.float32, casting="unsafe"
    )


def token_columns(
    tokens_a: npt.NDArray[np.uint64], tokens_b: npt.NDArray[np.uint64], index_a: Rows, index_b: Rows
) -> Columns:
    """Tokens as ternary vectors: float32, shape (m, 2 * tokens)."""
    return ternary_columns(tokens_a[index_a], tokens_b[index_b], NULL_TOKEN)


def filter_columns(
    filters_a: npt.NDArray[np.uint64], filters_b: npt.NDArray[np.uint64], index_a: Rows, index_b: Rows
) -> Columns:
    """Dice similarity, and whether either filter is empty, which is how a missing one is sent: shape (m, 2)."""
    similarity = dice_pairs(filters_a, filters_b, index_a, index_b)
    is_empty = (count_bits(filters_a) == 0)[index_a] | (count_bits(filters_b) == 0)[index_b]
    return np.column_stack([similarity, is_empty]).astype(np.float32)


def name_frequencies(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Of each record, the share of its side that has the same codes in all columns; NaN where one is missing.

    Parameters
    ----------
    codes : ndarray of int64, shape (n, columns)
        First name, last name and decade of birth as numbers; -1 for missing.
    """
    _, which, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    share = counts[which.reshape(-1)] / max(len(codes), 1)
    return np.where((codes == MISSING_CODE).any(axis=1), np.nan, share)


def collision_columns(
    share_a: npt.NDArray[np.float64], share_b: npt.NDArray[np.float64], index_a: Rows, index_b: Rows
) -> Columns:
    """The collision score: log of the mean of both records' shares, of the one that has one; and null: shape (m, 2)."""
    both = np.stack([share_a[index_a], share_b[index_b]])
    known = ~np.isnan(both)
    count = known.sum(axis=0)
    mean = np.where(known, both, 0.0).sum(axis=0) / np.maximum(count, 1)
    score = np.log(np.where(count > 0, mean, 1.0))
    return np.column_stack([score, count == 0]).astype(np.float32)
