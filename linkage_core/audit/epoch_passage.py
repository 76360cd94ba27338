"""From one key epoch to the next: which new record pseudonym continues which former one. Zone: protocol.

A new epoch's pseudonyms have nothing to do with the former ones. A custodian alone knows both, and hands the linkage
unit the pairs once, sealed like a part of a delivery and described by a signed document, so that entity ids go on and
who was erased stays away. The linkage unit learns just these pairs: no id, no value, and of nobody whose pseudonym it
did not have already.

Document: one line of canonical JSON, ``{"passage":{...},"signature":"<128 hex>"}``, signed in a context of its own.
Sealed content: 32 bytes a record, the new pseudonym and the former one, in ascending order of the new ones.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from linkage_core.audit.signatures import sign, verify
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import CodeVersion, PartEntry, SafeName, Sealing
from linkage_core.protocol.encoded_records import PSEUDONYM_BYTES, PSEUDONYM_DTYPE
from linkage_core.protocol.record_state import check_ascending, pseudonym_keys
from linkage_core.protocol.sealed_parts import SealHeader

PASSAGE_FORMAT = "nightlink-epoch-passage-1"
MAX_PASSAGE_BYTES = 1 << 16
_CONTEXT = PASSAGE_FORMAT.encode()
Pseudonyms = npt.NDArray[np.void]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class EpochPassage(_Frozen):
    """Between which epochs of which custodian, and the sealed file of pairs."""

    format: Literal["nightlink-epoch-passage-1"] = "nightlink-epoch-passage-1"
    project: SafeName
    custodian: SafeName
    former_epoch: SafeName
    key_epoch: SafeName
    code_version: CodeVersion
    sealing: Sealing
    pairs: PartEntry

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if self.former_epoch == self.key_epoch:
            raise ValueError("from an epoch to itself")
        return self


class _Sealed(_Frozen):
    passage: EpochPassage
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


def seal_passage(passage: EpochPassage, signing_key: Ed25519PrivateKey) -> bytes:
    """Sign the document; equal ones under equal keys give equal bytes."""
    body = passage.model_dump(mode="json")
    signature = sign(signing_key, _CONTEXT, rfc8785.dumps(body)).hex()
    return rfc8785.dumps({"passage": body, "signature": signature})


def open_passage(data: bytes, public_key: Ed25519PublicKey) -> EpochPassage:
    """Read a document that :func:`seal_passage` wrote, and check whose it is.

    Raises
    ------
    NightlinkError
        E-DLV-MANIFEST: not such a document. E-DLV-SIGNATURE: another signer's, or altered.
    """
    try:
        sealed = _Sealed.model_validate_json(data) if len(data) <= MAX_PASSAGE_BYTES else None
    except ValidationError:
        sealed = None
    body = None if sealed is None else sealed.passage.model_dump(mode="json")
    if sealed is None or rfc8785.dumps({"passage": body, "signature": sealed.signature}) != data:
        raise NightlinkError(
            "E-DLV-MANIFEST",
            found="a passage between epochs that cannot be read",
            expected="one as this version writes it",
            remedy="The custodian removes its folder and writes it again: nightlink custodian carry-epoch.",
        )
    if not verify(public_key, _CONTEXT, rfc8785.dumps(body), bytes.fromhex(sealed.signature)):
        raise NightlinkError(
            "E-DLV-SIGNATURE",
            found="a passage between epochs whose signature does not verify",
            expected="one signed with the custodian's registered key",
            remedy="Keep it as evidence; find out who wrote it.",
        )
    return sealed.passage


def passage_header(project: str, epoch: str, custodian: str) -> SealHeader:
    """What the sealed pairs are bound to; no delivery has such a place."""
    return SealHeader(project, epoch, custodian, f"epoch-{epoch}", 0)


def write_pairs(new: Pseudonyms, former: Pseudonyms) -> bytes:
    """The content to seal, from aligned pseudonyms in any order."""
    order = np.argsort(pseudonym_keys(new), kind="stable")
    columns = [
        np.ascontiguousarray(side[order]).view(np.uint8).reshape(-1, PSEUDONYM_BYTES)
        for side in (new, former)
    ]
    return np.concatenate(columns, axis=1).tobytes()


def read_pairs(content: bytes, rows: int, custodian: str) -> tuple[Pseudonyms, Pseudonyms]:
    """New and former pseudonyms, aligned, in ascending order of the new ones.

    Raises
    ------
    NightlinkError
        E-DLV-FORMAT: another length, or a pseudonym of either epoch that comes twice.
    """
    if len(content) != rows * 2 * PSEUDONYM_BYTES:
        raise NightlinkError(
            "E-DLV-FORMAT",
            found=f"{len(content)} bytes for {rows} pairs of pseudonyms",
            expected=f"{2 * PSEUDONYM_BYTES} each",
            remedy="The passage is refused. Compare versions; the custodian writes it again.",
        )
    table = np.frombuffer(content, np.uint8).reshape(rows, 2, PSEUDONYM_BYTES)
    new, former = (np.ascontiguousarray(table[:, side]).view(PSEUDONYM_DTYPE).reshape(-1) for side in (0, 1))
    check_ascending(new, custodian)
    check_ascending(former[np.argsort(pseudonym_keys(former))], custodian)
    return new, former
