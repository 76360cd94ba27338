"""The keys of a linkage schema: two for each feature, from one secret. Zone: custodian.

HKDF (RFC 5869, https://doi.org/10.17487/RFC5869) expanded to all features' keys in order, ignored features'
too, so that ignoring a column does not change the others' keys.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_schema import KEYS_A_FEATURE, Kdf, LinkageSchema, schema_fingerprint

SECRET_CHECK_BYTES = 4


def derive_clk_keys(secret: str, features: int, kdf: Kdf) -> tuple[tuple[bytes, bytes], ...]:
    """Both keys of each feature, in the features' order.

    Parameters
    ----------
    secret : str
        The text of the key file, stripped; its UTF-8 bytes are the input key material.

    Raises
    ------
    NightlinkError
        E-KEY-FILE for an empty secret.
    """
    if not secret:
        raise NightlinkError(
            "E-KEY-FILE",
            found="a key file without a secret",
            expected="the secret that both custodians share",
            remedy="Write the secret into the file.",
        )
    size, count = kdf.key_bytes, KEYS_A_FEATURE * features
    if count == 0:
        return ()
    algorithm = SHA256() if kdf.hash == "SHA256" else SHA512()
    material = HKDF(algorithm=algorithm, length=size * count, salt=kdf.salt, info=kdf.info).derive(
        secret.encode("utf-8")
    )
    keys = [material[i * size : (i + 1) * size] for i in range(count)]
    return tuple(zip(keys[::2], keys[1::2], strict=True))


def secret_check_value(secret: str, schema: LinkageSchema) -> str:
    """8 hex digits that two custodians compare: equal when secret and schema are (but for 1 in 2**32).

    A secret of this format may be a mere phrase, and a plain digest of it would let anybody who hears it
    search a dictionary. So it is short, and costs scrypt (RFC 7914) for each guess. Say it on the telephone;
    publish it nowhere.
    """
    salt = hashlib.sha256(b"nightlink clk secret check" + schema_fingerprint(schema).encode()).digest()
    return Scrypt(salt=salt, length=SECRET_CHECK_BYTES, n=2**15, r=8, p=1).derive(secret.encode()).hex()
