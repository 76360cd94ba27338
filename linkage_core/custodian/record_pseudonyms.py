"""Record pseudonyms: a custodian's own ids under its own key. Zone: custodian.

They name the rows of one custodian towards the linkage unit and the warehouse. The site key is the
custodian's alone, so not even the other custodian can tell to which id a pseudonym belongs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.text_columns import text_buffers
from linkage_core.errors import NightlinkError
from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.encoded_records import PSEUDONYM_BYTES, PSEUDONYM_DTYPE
from linkage_core.protocol.key_files import check_key


def record_pseudonyms(
    site_key: bytes, source_ids: Sequence[str] | pa.Array, *, project: str, epoch: str
) -> npt.NDArray[np.void]:
    """HMAC-SHA256 of each id, cut to 16 bytes, under a key of its own role derived from the site key.

    Neither the protocol's version nor its fingerprint enters: content and encodings made on either side of a
    change of thresholds keep the same names within an epoch.

    Parameters
    ----------
    site_key : bytes
        The custodian's own 32-byte key, never the linkage key.
    source_ids : sequence of str, or pyarrow utf8 array, length n
        Ids at the source, taken to the byte.

    Returns
    -------
    ndarray of V16, shape (n,)
        In the order of the ids; equal ids have equal pseudonyms.

    Raises
    ------
    NightlinkError
        E-KEY-FILE for a key that is not one; E-INPUT for a missing id.
    """
    check_key(site_key)
    ids = source_ids if isinstance(source_ids, pa.Array) else pa.array(source_ids, pa.utf8())
    if ids.null_count:
        raise NightlinkError(
            "E-INPUT",
            found=f"{ids.null_count} rows without a source id",
            expected="an id in every row",
            remedy="Reject rows that break R-ID-MISSING before encoding.",
        )
    key = derive_key(site_key, (project, epoch, "record-pseudonym"))
    digests = hmac_sha256_many(key, *text_buffers(ids))
    return np.ascontiguousarray(digests[:, :PSEUDONYM_BYTES]).view(PSEUDONYM_DTYPE).reshape(-1)
