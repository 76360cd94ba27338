"""The custodians' passages into a new key epoch, as the linkage unit reads them: its own place and keys, or refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linkage_core.audit.epoch_passage import EpochPassage, passage_header, seal_passage, write_pairs
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import Sealing, describe_part
from linkage_core.protocol.encoded_records import PSEUDONYM_DTYPE
from linkage_core.protocol.sealed_parts import seal_part
from tasks.custodian.carry_epoch import forget_passage
from tasks.custodian.settings import CustodianSite
from tasks.linkage_unit.epoch_passage import _rows_of
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.exchange import (
    PAIRS_NAME,
    PASSAGE_NAME,
    all_deliveries,
    next_sequence,
    open_passage_folder,
    passage_folder,
    write_file,
)
from tests.reference.small_world import make_site, make_unit

FORMER = "former"


def pseudonyms(first: int) -> np.ndarray:
    return np.frombuffer(np.random.default_rng(first).bytes(16 * 3), PSEUDONYM_DTYPE)


def write(site: CustodianSite, **changes: object) -> None:
    """A passage of three records, with entries of its document changed."""
    folder = passage_folder(site.settings.exchange, site.name, site.protocol.key_epoch)
    open_passage_folder(folder)
    header = passage_header(site.protocol.project, site.protocol.key_epoch, site.name)
    sealed = seal_part(write_pairs(pseudonyms(1), pseudonyms(2)), PAIRS_NAME, header, site.transfer_secret)
    write_file(folder, PAIRS_NAME, sealed)
    secret = site.transfer_secret
    entries: dict[str, object] = {
        "project": site.protocol.project,
        "custodian": site.name,
        "former_epoch": FORMER,
        "key_epoch": site.protocol.key_epoch,
        "code_version": "0.1.0",
        "sealing": Sealing(transfer_key=secret.transfer_key_id, linkage_unit_key=secret.unit_key_id),
        "pairs": describe_part(PAIRS_NAME, 3, sealed),
    }
    document = EpochPassage.model_validate({**entries, **changes})
    write_file(folder, PASSAGE_NAME, seal_passage(document, site.signing_key))


@pytest.fixture
def world(tmp_path: Path) -> tuple[CustodianSite, LinkageUnit]:
    return make_site(tmp_path), make_unit(tmp_path)


def code(call: Callable[[], object]) -> str:
    with pytest.raises(NightlinkError) as caught:
        call()
    return caught.value.code


def test_pairs_come_to_the_unit_and_are_no_delivery(world: tuple[CustodianSite, LinkageUnit]) -> None:
    site, unit = world
    assert list(_rows_of("hospital", FORMER, unit)) == []
    write(site)
    rows = list(_rows_of("hospital", FORMER, unit))
    told = {
        ("hospital", *(str(uuid.UUID(bytes=p.tobytes())) for p in pair))
        for pair in zip(pseudonyms(1), pseudonyms(2), strict=True)
    }
    assert set(rows) == told and len(rows) == 3
    assert all_deliveries(site.settings.exchange, "hospital") == []
    assert next_sequence(site.settings.exchange, "hospital") == 1


def test_once_the_pairs_are_deleted_nothing_is_carried(world: tuple[CustodianSite, LinkageUnit]) -> None:
    site, unit = world
    write(site)
    assert forget_passage(site)
    assert not forget_passage(site)
    assert list(_rows_of("hospital", FORMER, unit)) == []


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"project": "other"}, "E-DLV-FOREIGN"),
        ({"custodian": "pharmacy"}, "E-DLV-FOREIGN"),
        ({"former_epoch": "another"}, "E-DLV-FOREIGN"),
        ({"key_epoch": "another"}, "E-DLV-FOREIGN"),
        ({"sealing": Sealing(transfer_key="0" * 16, linkage_unit_key="0" * 16)}, "E-DLV-KEYS"),
        ({"pairs": describe_part(PAIRS_NAME, 3, b"x" * 112)}, "E-DLV-DIGEST"),
    ],
)
def test_a_passage_of_elsewhere_is_refused(
    world: tuple[CustodianSite, LinkageUnit], changes: dict[str, object], refused: str
) -> None:
    site, unit = world
    write(site, **changes)
    assert code(lambda: list(_rows_of("hospital", FORMER, unit))) == refused


def test_another_signers_passage_is_refused(world: tuple[CustodianSite, LinkageUnit], tmp_path: Path) -> None:
    site, unit = world
    write(replace(site, signing_key=make_site(tmp_path / "other", "pharmacy").signing_key))
    assert code(lambda: list(_rows_of("hospital", FORMER, unit))) == "E-DLV-SIGNATURE"


def test_a_passage_larger_than_a_delivery_may_be_is_refused_unread(
    world: tuple[CustodianSite, LinkageUnit],
) -> None:
    site, unit = world
    write(site)
    small = replace(unit, settings=unit.settings.model_copy(update={"max_delivery_rows": 2}))
    assert code(lambda: list(_rows_of("hospital", FORMER, small))) == "E-DLV-FOREIGN"
