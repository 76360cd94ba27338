"""A custodian is killed at every act on its disks while it delivers: the unit sees nothing, or all of it (fault 3).

The process really is killed by SIGKILL: a child, forked from this one, that counts its own acts by Python's audit hook.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from linkage_core.errors import NightlinkError
from tasks.custodian import encode
from tasks.custodian.deliver import already_delivered, deliver_encodings
from tasks.custodian.encode import EncodedDelivery
from tasks.custodian.night_folder import night_folder
from tasks.custodian.settings import CustodianSite
from tasks.linkage_unit.receive import receive_deliveries
from tests.reference.small_world import (
    CUSTODIANS,
    NIGHT,
    encode_people,
    encoded_records,
    few_people,
    make_site,
    make_unit,
    raw_table,
)
from tests.reference.tiny_delivery import same_records

ACTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod")
MOST_ACTS = 200


@pytest.fixture
def sites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, tuple[CustodianSite, EncodedDelivery]]:
    """Both custodians with what they encoded, in several parts; the pharmacy has delivered."""
    monkeypatch.setattr(encode, "PART_ROWS", 40)
    people, made = few_people(), {}
    for custodian, side in zip(CUSTODIANS, (people.side_a, people.side_b), strict=True):
        site = make_site(tmp_path, custodian)
        with night_folder(site.settings.state_folder) as work:
            made[custodian] = (site, encode_people(site, raw_table(side), work))
    deliver_encodings(made["pharmacy"][1], NIGHT, made["pharmacy"][0])
    return made


def in_a_child_killed_at(act: int, folder: Path, work: Callable[[], None]) -> bool:
    """Fork; the child dies at its act of this number on files below the folder. Whether it came to its end."""
    child = os.fork()
    if child == 0:
        seen = iter(range(1, 1 << 30))

        def count(event: str, arguments: tuple[object, ...]) -> None:
            if event in ACTS and str(arguments[0]).startswith(str(folder)) and next(seen) == act:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL
    return os.WIFEXITED(status)


def received(tmp_path: Path) -> bool:
    """Whether the linkage unit receives all that was delivered; nothing is the only other thing that it may see."""
    try:
        receive_deliveries(NIGHT, make_unit(tmp_path))
    except NightlinkError as error:
        assert error.code == "E-DLV-MISSING", error
        return False
    return True


@pytest.mark.parametrize("seed", [1, pytest.param(None, marks=pytest.mark.slow)])
def test_a_delivery_is_seen_whole_or_not_at_all(
    tmp_path: Path, sites: dict[str, tuple[CustodianSite, EncodedDelivery]], seed: int | None
) -> None:
    site, encoded = sites["hospital"]
    assert len(encoded.parts) > 2
    places = range(1, MOST_ACTS) if seed is None else sorted(random.Random(seed).sample(range(1, 14), 5))
    killed = 0
    for act in [*places, MOST_ACTS]:
        ended = in_a_child_killed_at(act, tmp_path, lambda: deliver_encodings(encoded, NIGHT, site))
        whole = received(tmp_path)
        assert whole == already_delivered(NIGHT, site)
        if ended:
            assert whole
            break
        killed += 1
        if whole:  # killed after the manifest's rename: what the next run finds, and leaves as it is
            break
    assert killed >= 5
    delivery, _ = receive_deliveries(NIGHT, make_unit(tmp_path))
    assert same_records(delivery.records, encoded_records(encoded))
    [left] = (tmp_path / "exchange/hospital" / NIGHT.isoformat()).iterdir()
    assert not list(left.glob(".*")), "the next delivery removes what the dead left"
