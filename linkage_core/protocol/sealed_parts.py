"""A delivery's parts, sealed so that nobody but the linkage unit can read them. Zone: protocol.

A sealed part is the AES-256-SIV (RFC 5297, https://doi.org/10.17487/RFC5297) of the part's bytes, the 16-byte
synthetic IV first. Its key is that of one part alone: HKDF of what custodian and linkage unit share, with
project, epoch, custodian, run, sequence and part name as context; the same header is also the associated
data. So a part opens only in its own place, and only under the keys of the two parties. AES-SIV is
deterministic, which keeps "same inputs, same bytes", and needs no nonce that could come twice: if a sequence
number were ever used for two deliveries, equal parts would be seen to be equal, and nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from linkage_core.errors import NightlinkError
from linkage_core.protocol.derived_keys import framed_context
from linkage_core.protocol.transfer_keys import TransferSecret

SEALED_FORMAT = "nightlink-sealed-part-1"
SEAL_SCHEME: Final = "x25519-hkdf-sha256-aes-256-siv"
SEAL_BYTES = 16
"""By how much a sealed part is longer than what it seals."""

_SIV_KEY_BYTES = 64


@dataclass(frozen=True)
class SealHeader:
    """Which delivery a part belongs to: what a seal binds it to, beside its name."""

    project: str
    key_epoch: str
    custodian: str
    run_id: str
    sequence: int

    def of_part(self, name: str) -> tuple[str, ...]:
        """The context of one part, in the order in which it enters key and associated data."""
        place = (self.project, self.key_epoch, self.custodian, self.run_id, str(self.sequence))
        return (SEALED_FORMAT, *place, name)


def seal_part(data: bytes, name: str, header: SealHeader, secret: TransferSecret) -> bytes:
    """Seal one part; equal arguments give equal bytes, :data:`SEAL_BYTES` longer than ``data``.

    Raises
    ------
    NightlinkError
        E-INPUT: nothing to seal.
    """
    if not data:
        raise NightlinkError(
            "E-INPUT",
            found="a part of 0 bytes",
            expected="a part in the wire format",
            remedy="Report it: a part without rows has a footer at least.",
        )
    context = header.of_part(name)
    return AESSIV(secret.key_for(context, _SIV_KEY_BYTES)).encrypt(data, [framed_context(context)])


def open_part(sealed: bytes, name: str, header: SealHeader, secret: TransferSecret) -> bytes:
    """What :func:`seal_part` sealed under the same name, header and secret.

    Raises
    ------
    NightlinkError
        E-DLV-SEAL: another place, another key, or altered bytes; which of them cannot be told.
    """
    context = header.of_part(name)
    cipher = AESSIV(secret.key_for(context, _SIV_KEY_BYTES))
    try:
        return cipher.decrypt(sealed, [framed_context(context)])
    except (InvalidTag, ValueError):  # ValueError: shorter than a seal
        found = f"part {name} of {header.custodian}'s delivery {header.sequence}, which does not open"
    raise NightlinkError(
        "E-DLV-SEAL",
        found=found,
        expected="a part that this custodian sealed to this linkage unit, in this place",
        remedy="Compare the public keys of both parties by voice; the custodian delivers again.",
    )
