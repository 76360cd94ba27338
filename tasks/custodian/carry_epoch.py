"""Carry: which record pseudonyms of the new key epoch continue which of the former one. Zone: custodian.

Between installing the new keys and the first delivery under them, while the former site key is still there. Told are
the people of the last delivery who are still in the source, and nobody else: whoever was rejected, or came since,
has no former pseudonym that the linkage unit knows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from linkage_core.audit.epoch_passage import (
    EpochPassage,
    Pseudonyms,
    passage_header,
    seal_passage,
    write_pairs,
)
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import PartEntry, Sealing, describe_part
from linkage_core.protocol.key_files import parse_key_file
from linkage_core.protocol.record_state import pseudonym_keys
from linkage_core.protocol.sealed_parts import seal_part
from tasks.custodian.delivered_state import remembered_state
from tasks.custodian.extract import extract_identifiers, open_source
from tasks.custodian.night_folder import night_folder
from tasks.custodian.settings import CustodianSite
from tasks.protocol.code_version import code_version
from tasks.protocol.exchange import (
    PAIRS_NAME,
    PASSAGE_NAME,
    open_passage_folder,
    passage_folder,
    remove_file,
    write_file,
)
from tasks.protocol.settings_files import read_secret


def carry_epoch(site: CustodianSite, former_site_key_file: Path, former_epoch: str) -> int | None:
    """Write the passage into today's epoch into the exchange; how many records go on, None when it is there already.

    Raises
    ------
    NightlinkError
        E-KEY-EPOCH for a former key of another epoch; E-INPUT where nothing of the former epoch is remembered.
    """
    folder = passage_folder(site.settings.exchange, site.name, site.protocol.key_epoch)
    if (folder.path / PASSAGE_NAME).exists():
        return None
    former_key = parse_key_file(read_secret(former_site_key_file), "site", epoch=former_epoch)
    former = replace(
        site, site_key=former_key, protocol=site.protocol.model_copy(update={"key_epoch": former_epoch})
    )
    delivered = remembered_state(former)
    if delivered is None:
        raise NightlinkError(
            "E-INPUT",
            found=f"no delivery of the epoch {former_epoch} that is remembered under that site key",
            expected="delivered.state of the last delivery in the state folder, and the key it was made under",
            remedy="Carry the epoch before the first delivery of the new one. Without it entity ids begin anew.",
        )
    new, old = _pairs(site, former, delivered.rows.pseudonyms)
    if not len(new):
        raise NightlinkError(
            "E-INPUT",
            found="nobody of the last delivery in the source",
            expected="the same people, under the same ids",
            remedy="See whether the source's ids were changed; then entity ids begin anew.",
        )
    open_passage_folder(folder)
    remove_file(folder, PAIRS_NAME)
    header = passage_header(site.protocol.project, site.protocol.key_epoch, site.name)
    sealed = seal_part(write_pairs(new, old), PAIRS_NAME, header, site.transfer_secret)
    write_file(folder, PAIRS_NAME, sealed)
    entry = describe_part(PAIRS_NAME, len(new), sealed)
    write_file(folder, PASSAGE_NAME, seal_passage(_describe(site, former_epoch, entry), site.signing_key))
    return len(new)


def forget_passage(site: CustodianSite) -> bool:
    """Delete the pairs of the passage into today's epoch, which tie it to the former one; False when they are gone."""
    folder = passage_folder(site.settings.exchange, site.name, site.protocol.key_epoch)
    there = (folder.path / PAIRS_NAME).exists()
    remove_file(folder, PAIRS_NAME)
    return there


def _pairs(
    site: CustodianSite, former: CustodianSite, delivered: Pseudonyms
) -> tuple[Pseudonyms, Pseudonyms]:
    """New and former pseudonyms of those in the source who were delivered, each once."""
    with night_folder(site.settings.state_folder) as folder:
        with open_source(site) as snapshot:
            identifiers = extract_identifiers(snapshot, site, folder)
        ids = pa.chunked_array([batch.column("source_id") for batch in identifiers], pa.string())
        identifiers.discard()
    ids = ids.drop_null().combine_chunks().unique()
    new, old = (
        record_pseudonyms(each.site_key, ids, project=each.protocol.project, epoch=each.protocol.key_epoch)
        for each in (site, former)
    )
    known = np.isin(pseudonym_keys(old), pseudonym_keys(delivered))
    return new[known], old[known]


def _describe(site: CustodianSite, former_epoch: str, pairs: PartEntry) -> EpochPassage:
    secret = site.transfer_secret
    return EpochPassage(
        project=site.protocol.project,
        custodian=site.name,
        former_epoch=former_epoch,
        key_epoch=site.protocol.key_epoch,
        code_version=code_version(),
        sealing=Sealing(transfer_key=secret.transfer_key_id, linkage_unit_key=secret.unit_key_id),
        pairs=pairs,
    )
