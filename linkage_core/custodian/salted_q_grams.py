"""Salting: q-grams that depend on another part of the record too. Zone: custodian.

Niedermeyer, Steinmetzer, Kroll, Schnell 2014, "Cryptanalysis of basic Bloom filters used for privacy preserving
record linkage" (doi:10.29012/jpc.v6i2.640), section 7: with a stable attribute as salt, a name has as many
encodings as the salt has values. Records whose salts differ look as unlike as strangers, so a salt costs recall
wherever it is wrong or missing, and nothing where it is also the blocking key.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import numpy.typing as npt

from linkage_core.custodian.code_book import CodedColumn
from linkage_core.custodian.q_grams import ValueQGrams, number_codes

SALT_SHIFT = np.uint64(40)
SALT_BYTES = 3
"""A token's q-gram and place take 40 bits (:mod:`linkage_core.custodian.q_grams`); the salt's tag has the rest. Two
salts with one tag are as one salt, which is of no consequence."""


def salt_q_grams(
    value_of_row: npt.NDArray[np.intp], q_grams: ValueQGrams, salt: CodedColumn
) -> tuple[npt.NDArray[np.intp], ValueQGrams]:
    """Each row's (value, salt) in place of its value, and the q-grams of these, with their salt's tag.

    Returns
    -------
    rows' indices : ndarray of intp, shape (n,)
        -1 where the value or the salt is missing.
    q_grams : ValueQGrams
        A token is as before, plus 2**40 times the first 3 bytes, little-endian, of the salt's SHA-256: no
        secret, since the key that hashes tokens is one. Within a value, in ascending order of the tokens.
    """
    present = (value_of_row >= 0) & (salt.code_of_row >= 0)
    pairs = (value_of_row[present].astype(np.uint64) << np.uint64(32)) | salt.code_of_row[present].astype(
        np.uint64
    )
    numbers, distinct = number_codes(pairs)
    pair_of_row = np.full(len(value_of_row), -1, np.intp)
    pair_of_row[present] = numbers
    values = (distinct >> np.uint64(32)).astype(np.intp)
    tags = _tags(salt)[(distinct & np.uint64(0xFFFFFFFF)).astype(np.intp)]
    counts = np.diff(q_grams.starts)[values]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
    plain = q_grams.tokens[q_grams.gram_ids[np.repeat(q_grams.starts[values], counts) + within]]
    gram_ids, tokens = number_codes(plain | np.repeat(tags << SALT_SHIFT, counts))
    return pair_of_row, ValueQGrams(starts, gram_ids, tokens)


def _tags(salt: CodedColumn) -> npt.NDArray[np.uint64]:
    digests = [sha256(text.encode("utf-8")).digest()[:SALT_BYTES] for text in salt.codes.to_pylist()]
    return np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64)
