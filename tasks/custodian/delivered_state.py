"""What a custodian remembers of its last delivery, so that the next one need only say what changed. Zone: custodian.

A digest of each row beside its pseudonym, sealed under a key of the site's: 32 bytes a record. Without it, or when it
does not belong to what lies in the exchange, the next delivery is of all records; nothing else depends on it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from linkage_core.protocol.derived_keys import derive_key, framed_context
from linkage_core.protocol.encoded_records import PSEUDONYM_DTYPE
from linkage_core.protocol.record_state import ROW_DIGEST_DTYPE, StateRows
from tasks.custodian.settings import CustodianSite
from tasks.protocol.output_files import replace_file

STATE_FILE = "delivered.state"
"""In the state folder; who removes it makes the next delivery one of all records."""
_FORMAT = "nightlink-delivered-state-1"
_SIV_KEY_BYTES = 64


@dataclass(frozen=True)
class DeliveredState:
    """The state that one delivery led to."""

    run_id: str
    sequence: int
    manifest_sha256: str
    rows: StateRows


def remember_state(state: DeliveredState, site: CustodianSite) -> None:
    """Write it down in place of the former one, whole or not at all; E-OUTPUT when there is no room."""
    head = json.dumps([state.run_id, state.sequence, state.manifest_sha256]).encode()
    content = b"\n".join([head, state.rows.pseudonyms.tobytes() + state.rows.digests.tobytes()])
    replace_file(site.settings.state_folder / STATE_FILE, _cipher(site).encrypt(content, [_context(site)]))


def remembered_state(site: CustodianSite) -> DeliveredState | None:
    """What was written down last; None when there is nothing, or nothing that opens here and today."""
    try:
        sealed = (site.settings.state_folder / STATE_FILE).read_bytes()
        content = _cipher(site).decrypt(sealed, [_context(site)])
    except (OSError, InvalidTag, ValueError):  # ValueError: shorter than a seal
        return None
    head, arrays = content.split(b"\n", 1)
    run_id, sequence, manifest_sha256 = json.loads(head)
    half = len(arrays) // 2  # as many bytes of pseudonyms as of digests
    rows = StateRows(
        np.frombuffer(arrays[:half], PSEUDONYM_DTYPE), np.frombuffer(arrays[half:], ROW_DIGEST_DTYPE)
    )
    return DeliveredState(run_id, sequence, manifest_sha256, rows)


def _cipher(site: CustodianSite) -> AESSIV:
    return AESSIV(derive_key(site.site_key, (_FORMAT, site.protocol.project), _SIV_KEY_BYTES))


def _context(site: CustodianSite) -> bytes:
    return framed_context((_FORMAT, site.protocol.project, site.protocol.key_epoch, site.name))
