"""Insider dictionary: who holds the linkage key can encode any list and look everybody up.

This is no weakness of an encoding and no hardening helps: it is why the linkage unit must never hold the key,
and why a custodian that colludes with it defeats any scheme of this kind (Vatsalan, Christen, Verykios 2013,
"A taxonomy of privacy-preserving record linkage techniques", doi:10.1016/j.is.2012.11.005).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome
from linkage_core.evaluation.attacks.encoded_people import EncodedPeople, similarity_matrix

ROWS_PER_CHUNK = 2048


def insider_dictionary(
    victim: EncodedPeople,
    dictionary: EncodedPeople,
    true_entry: npt.NDArray[np.intp],
    value_class: npt.NDArray[np.int64],
) -> AttackOutcome:
    """Name each record by the nearest entry of a list that was encoded under the same key.

    Parameters
    ----------
    true_entry : ndarray of intp, shape (victims,)
        Each record's row in the dictionary, -1 when not in it; used for counting only.
    value_class : ndarray of int64, shape (dictionary,)
        Equal for entries of equal values. Equal similarities: the first entry.
    """
    rows = np.flatnonzero(true_entry >= 0)
    right = 0
    for start in range(0, len(rows), ROWS_PER_CHUNK):
        chunk = rows[start : start + ROWS_PER_CHUNK]
        nearest = np.argmax(similarity_matrix(victim.take(chunk), dictionary), axis=1)
        right += int(np.count_nonzero(value_class[nearest] == value_class[true_entry[chunk]]))
    return AttackOutcome(right, len(rows), len(rows))
