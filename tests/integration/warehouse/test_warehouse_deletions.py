"""Deleted encodings are in the audit log once each, and the event must say what was deleted."""

from __future__ import annotations

import pytest

from linkage_core.audit.audit_events import EncodingsDeleted, canonical_event, parse_entry
from linkage_core.errors import NightlinkError
from sql.warehouse.deletions import DeletedEncodings, known_deletions, record_deletion
from tests.integration.warehouse.warehouse_nights import Nights

DELETED = DeletedEncodings("hospital", "ab" * 32, "custodian", "2026")


def event(nights: Nights, **changes: str) -> str:
    told = {
        "project": nights.project,
        "custodian": "hospital",
        "manifest_sha256": "ab" * 32,
        "deleted_at": "custodian",
        "key_epoch": "2026",
        "record_sha256": "cd" * 32,
        "code_version": "0.1.0",
    }
    return canonical_event(EncodingsDeleted.model_validate({**told, **changes}))


def logged(nights: Nights) -> list[EncodingsDeleted]:
    rows = nights.warehouse.as_superuser("SELECT entry FROM audit.event ORDER BY sequence")
    events = [parse_entry(entry).event for (entry,) in rows]
    return [e for e in events if isinstance(e, EncodingsDeleted) and e.project == nights.project]


def test_a_deletion_is_entered_once_by_each_party(nights: Nights) -> None:
    nights.night("n0", [])
    loader = nights.warehouse.loader
    assert record_deletion(loader, nights.project, DELETED, event(nights))
    assert not record_deletion(loader, nights.project, DELETED, event(nights))
    own = DeletedEncodings("hospital", "ab" * 32, "linkage_unit", "2026")
    assert record_deletion(loader, nights.project, own, event(nights, deleted_at="linkage_unit"))
    assert known_deletions(loader, nights.project) == {
        ("hospital", "ab" * 32, "custodian"),
        ("hospital", "ab" * 32, "linkage_unit"),
    }
    assert [e.deleted_at for e in logged(nights)] == ["custodian", "linkage_unit"]
    assert logged(nights)[0].record_sha256 == "cd" * 32


@pytest.mark.parametrize(
    "said", [{"manifest_sha256": "ef" * 32}, {"key_epoch": "2025"}, {"custodian": "pharmacy"}]
)
def test_an_event_that_says_something_else_is_refused(nights: Nights, said: dict[str, str]) -> None:
    nights.night("n0", [])
    with pytest.raises(NightlinkError):
        record_deletion(nights.warehouse.loader, nights.project, DELETED, event(nights, **said))
    assert logged(nights) == [] and known_deletions(nights.warehouse.loader, nights.project) == set()
