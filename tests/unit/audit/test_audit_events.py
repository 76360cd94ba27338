"""Audit events: one text for one event, and no other text is read."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest
import rfc8785
from pydantic import ValidationError

from linkage_core.audit.audit_events import (
    AuditEntry,
    AuditEvent,
    ContentLoaded,
    LinkCounts,
    NightPublished,
    RunFailed,
    canonical_entry,
    canonical_event,
    digest_of_summary,
    parse_entry,
)
from linkage_core.errors import NightlinkError


def night_published(**changes: object) -> NightPublished:
    entries: dict[str, object] = {
        "run_id": "night-2026-03-01",
        "project": "tiny",
        "as_of": date(2026, 3, 1),
        "fence": 12,
        "deliveries": {"pharmacy": "b" * 64, "hospital": "a" * 64},
        "protocol_version": 3,
        "protocol_fingerprint": "c" * 64,
        "key_epoch": "2026-test",
        "key_check_value": "0123456789abcdef",
        "target_precision": 0.99,
        "expected_precision": 0.9925,
        "match_threshold": 0.8,
        "possible_threshold": 0.725,
        "code_version": "0.1.0",
        "links": LinkCounts(opened=3, closed=1, kept=7, match=8, possible_match=2),
        "link_table_digest": "d" * 64,
        "summary_digest": "f" * 64,
    }
    return NightPublished.model_validate({**entries, **changes})


CONTENT = ContentLoaded(
    run_id="night-2026-03-01",
    project="tiny",
    as_of=date(2026, 3, 1),
    custodian="hospital",
    manifest_sha256="e" * 64,
    rows={"admission": 40},
    code_version="0.1.0",
)
FAILED = RunFailed(run_id="night-2026-03-01", project="tiny", code="E-KEY-MISMATCH")


def entry_of(event: AuditEvent) -> AuditEntry:
    return AuditEntry(datetime(2026, 3, 2, 1, 2, 3, 40, tzinfo=UTC), "linkage_loader", event)


@pytest.mark.parametrize("event", [night_published(), CONTENT, FAILED], ids=lambda event: event.kind)
def test_an_entry_is_read_as_it_was_written(event: AuditEvent) -> None:
    assert parse_entry(canonical_entry(entry_of(event))) == entry_of(event)


def test_an_entry_says_when_and_who() -> None:
    text = canonical_entry(entry_of(FAILED))
    assert text.startswith('{"at":"2026-03-02T01:02:03.000040Z","by":"linkage_loader","event":{"code":')
    assert rfc8785.dumps(json.loads(text)).decode() == text


def test_text_is_sorted_and_without_spaces() -> None:
    text = canonical_event(FAILED)
    assert text == (
        '{"code":"E-KEY-MISMATCH","kind":"run_failed","project":"tiny","run_id":"night-2026-03-01"}'
    )


def test_thresholds_are_written_as_short_decimals() -> None:
    text = canonical_event(night_published(match_threshold=0.1 + 0.2, possible_threshold=1e-7))
    assert '"match_threshold":0.30000000000000004,' in text
    assert '"possible_threshold":1e-7,' in text
    assert '"match_threshold":1,' in canonical_event(night_published(match_threshold=1.0))


def test_equal_events_give_equal_text_whatever_the_order_of_deliveries() -> None:
    turned = night_published(deliveries={"hospital": "a" * 64, "pharmacy": "b" * 64})
    assert canonical_event(turned) == canonical_event(night_published())


@pytest.mark.parametrize(
    "changes",
    [
        {"fence": 0},
        {"deliveries": {}},
        {"deliveries": {"hospital": "short"}},
        {"deliveries": {"a/b": "a" * 64}},
        {"match_threshold": float("nan")},
        {"match_threshold": 1.5},
        {"key_check_value": "f" * 17},
        {"link_table_digest": "D" * 64},
        {"links": {"opened": 1, "closed": 0, "kept": 0, "match": 2, "possible_match": 0}},
        {"patient": "Jane Doe"},
    ],
)
def test_a_wrong_event_cannot_be_built_and_is_not_quoted(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        night_published(**changes)
    assert "Jane Doe" not in str(caught.value)


def test_a_failure_needs_a_registered_code() -> None:
    with pytest.raises(ValidationError, match="registered"):
        RunFailed(run_id="night", project="tiny", code="E-WHATEVER")


ENTRY = canonical_entry(entry_of(FAILED))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[" * 100_000,
        "\ud800",
        canonical_event(FAILED),
        json.dumps(json.loads(ENTRY)),
        ENTRY + "\n",
        ENTRY.replace("run_failed", "run_succeeded"),
        ENTRY.replace("03.000040Z", "03Z"),
        ENTRY.replace("2026-03-02", "2026-02-30"),
        ENTRY.replace('"by":"linkage_loader",', ""),
        canonical_entry(entry_of(night_published())).replace('"fence":12', '"fence":12.0'),
    ],
)
def test_other_texts_are_refused_unquoted(text: str) -> None:
    with pytest.raises(NightlinkError) as caught:
        parse_entry(text)
    assert caught.value.code == "E-AUDIT-BROKEN"
    assert "night-2026-03-01" not in str(caught.value)


def test_a_summary_has_one_digest_before_and_after_the_warehouse() -> None:
    summary = {"pairs": 10**17, "share": 1.0, "as_of": date(2026, 3, 1), "edges": (0.1, 1e-7), "none": None}
    back = {"edges": [0.1, 0.0000001], "share": 1, "none": None, "pairs": 10**17, "as_of": "2026-03-01"}
    assert digest_of_summary(summary) == digest_of_summary(back)
    assert digest_of_summary(summary) != digest_of_summary({**summary, "share": 0.5})
