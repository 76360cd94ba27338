"""The first night of a key epoch: which records go on under another pseudonym. Zone: linkage_unit.

The custodians say so (`nightlink custodian carry-epoch`). The pairs are staged in the warehouse for this night alone:
entity ids go on, who was erased stays away, and with the publication they are gone.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from linkage_core.audit.epoch_passage import (
    MAX_PASSAGE_BYTES,
    EpochPassage,
    open_passage,
    passage_header,
    read_pairs,
)
from linkage_core.audit.signatures import public_key_from_hex
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import check_part
from linkage_core.protocol.sealed_parts import open_part
from linkage_core.protocol.transfer_keys import TransferSecret
from sql.warehouse.epoch_passage import CarriedRow, count_carried_holds, stage_passages
from sql.warehouse.ledger import read_head
from tasks.linkage_unit.load import NightRun
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.exchange import PAIRS_NAME, PASSAGE_NAME, passage_folder, read_file
from tasks.protocol.stages import announce, stage


@stage("carry records over the epoch")
def carry_over_epoch(run: NightRun, unit: LinkageUnit) -> None:
    """Stage the custodians' pairs of pseudonyms, where what is served is of a former epoch; else do nothing.

    Raises
    ------
    NightlinkError
        E-DLV-MANIFEST, E-DLV-SIGNATURE, E-DLV-FOREIGN, E-DLV-KEYS, E-DLV-DIGEST, E-DLV-SEAL, E-DLV-FORMAT for a passage
        that is not as it should be.
    """
    served = read_head(run.engine, unit.protocol.project)
    if served is None or served.key_epoch == unit.protocol.key_epoch:
        return
    rows: list[CarriedRow] = []
    for custodian in unit.protocol.custodians:
        carried = list(_rows_of(custodian, served.key_epoch, unit))
        announce(f"records of {custodian} that go on from the epoch {served.key_epoch}: {len(carried)}")
        rows += carried
    stage_passages(run.engine, run.ledger, rows)
    _tell_of_holds(*count_carried_holds(run.engine, run.ledger))


def _tell_of_holds(held: int, carried: int) -> None:
    """A hold that no pair carries is still one of what was published under the former name, and of nothing new."""
    if held:
        announce(f"legal holds of records that go on: {carried} of {held}")
    if carried < held:
        announce(
            "WARNING: the other holds keep what was published under former names alone. Of a record that is delivered"
            " under a new name, set the hold anew (nightlink retention hold)"
        )


def _rows_of(custodian: str, former_epoch: str, unit: LinkageUnit) -> Iterator[CarriedRow]:
    """Custodian, new and former pseudonym as UUID text; nothing of a custodian that wrote no passage."""
    folder = passage_folder(unit.settings.exchange, custodian, unit.protocol.key_epoch)
    if not (folder.path / PASSAGE_NAME).exists() or not (folder.path / PAIRS_NAME).exists():
        return
    signer = public_key_from_hex(unit.settings.custodian_public_keys[custodian])
    passage = open_passage(read_file(folder, PASSAGE_NAME, MAX_PASSAGE_BYTES), signer)
    _check_place(passage, custodian, former_epoch, unit)
    sealed = read_file(folder, PAIRS_NAME, passage.pairs.bytes)
    check_part(passage.pairs, sealed)
    content = open_part(
        sealed,
        PAIRS_NAME,
        passage_header(unit.protocol.project, unit.protocol.key_epoch, custodian),
        _secret_of(passage, unit),
    )
    for new, former in zip(*read_pairs(content, passage.pairs.rows, custodian), strict=True):
        yield custodian, str(uuid.UUID(bytes=new.tobytes())), str(uuid.UUID(bytes=former.tobytes()))


def _check_place(passage: EpochPassage, custodian: str, former_epoch: str, unit: LinkageUnit) -> None:
    named = (passage.project, passage.custodian, passage.former_epoch, passage.key_epoch)
    wanted = (unit.protocol.project, custodian, former_epoch, unit.protocol.key_epoch)
    if named != wanted or passage.pairs.rows > unit.settings.max_delivery_rows:
        raise NightlinkError(
            "E-DLV-FOREIGN",
            found=f"a passage of {passage.custodian} from the epoch {passage.former_epoch} to {passage.key_epoch}",
            expected=f"one of {custodian} from {former_epoch} to {unit.protocol.key_epoch}, of this project",
            remedy="Find out who moved it, or which epoch the custodian took for the former one; it writes it again.",
        )


def _secret_of(passage: EpochPassage, unit: LinkageUnit) -> TransferSecret:
    """The secret between the keys that the passage names; E-DLV-KEYS when this unit has none such."""
    named = (passage.sealing.transfer_key, passage.sealing.linkage_unit_key)
    secrets = unit.transfer_secrets[passage.custodian]
    for secret in secrets:
        if named == (secret.transfer_key_id, secret.unit_key_id):
            return secret
    raise NightlinkError(
        "E-DLV-KEYS",
        found=f"a passage of {passage.custodian} sealed between the keys {named[0]} and {named[1]}",
        expected=f"{secrets[0].transfer_key_id} and {secrets[0].unit_key_id}",
        remedy="Compare the public keys in both parties' settings by voice; the custodian writes it again.",
    )
