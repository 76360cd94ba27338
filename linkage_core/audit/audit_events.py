"""Audit events: what the warehouse's log says happened, as RFC 8785 canonical JSON text. Zone: linkage_unit.

An event says what happened: ids, digests and counts. The warehouse makes an entry of it, which adds who (the login
role of the session) and when (its clock). An entry's text is what the Merkle tree covers, so it is stored as text,
never as a JSON column, which would reorder and respell it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

import rfc8785
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from linkage_core.errors import ERROR_CODES, NightlinkError
from linkage_core.protocol.delivery_manifest import (
    MAX_JSON_INTEGER,
    CodeVersion,
    Count,
    KeyCheckValue,
    PositiveCount,
    SafeName,
    Sha256Hex,
)

Threshold = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


def _registered(code: str) -> str:
    if code not in ERROR_CODES:
        raise ValueError("must be a code registered in linkage_core/errors.py")
    return code


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LinkCounts(_Event):
    """Links after a publication: opened, closed and kept by it, and the current ones by decision."""

    opened: Count
    closed: Count
    kept: Count
    match: Count
    possible_match: Count

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.match + self.possible_match != self.opened + self.kept:
            raise ValueError("links by decision do not add up to those opened and kept")
        return self


class KnownLinksUsed(_Event):
    """The file of known links that a night went by, and its pairs whose records were in the deliveries."""

    sha256: Sha256Hex
    links: Count
    never: Count
    absent: Count


class EntitiesPublished(_Event):
    """Entities: how many, their records, components split (of more than two custodians), and the table's digest."""

    entities: Count
    members: Count
    components_split: Count
    entity_table_digest: Sha256Hex


class Approval(_Event):
    """Who let a held night pass: the findings that they approved, and two persons or more."""

    findings_sha256: Sha256Hex
    persons: list[SafeName] = Field(min_length=2, max_length=100)


class NightPublished(_Event):
    """One night's links became the current ones; written in the transaction that published them.

    ``match_threshold`` is the probability that the night chose to hold ``target_precision``, and
    ``expected_precision`` what it expects of the links above it, without any truth. ``deliveries`` maps each
    custodian to its manifest's SHA-256; ``link_table_digest`` is the digest of the
    link table that ``nightlink audit verify`` reproduces; ``summary_digest`` is :func:`digest_of_summary` of the
    night's summary in the ledger, which holds the model, counts and quality figures. What a night did not have (another
    resolution than one-to-one, known links, entities, an approval, a trained model) is not in its text: older texts
    stay the same.
    """

    kind: Literal["night_published"] = "night_published"
    run_id: SafeName
    project: SafeName
    as_of: date
    fence: PositiveCount
    deliveries: dict[SafeName, Sha256Hex] = Field(min_length=1, max_length=100)
    protocol_version: PositiveCount
    protocol_fingerprint: Sha256Hex
    key_epoch: SafeName
    key_check_value: KeyCheckValue
    target_precision: Threshold
    expected_precision: Threshold
    match_threshold: Threshold
    possible_threshold: Threshold
    code_version: CodeVersion
    links: LinkCounts
    link_table_digest: Sha256Hex
    summary_digest: Sha256Hex
    resolution: SafeName | None = None
    known_links: KnownLinksUsed | None = None
    entities: EntitiesPublished | None = None
    approval: Approval | None = None
    trained_model: Sha256Hex | None = None


class ContentLoaded(_Event):
    """A custodian's content, under record pseudonyms, became part of the warehouse; ``rows`` is by table."""

    kind: Literal["content_loaded"] = "content_loaded"
    run_id: SafeName
    project: SafeName
    as_of: date
    custodian: SafeName
    manifest_sha256: Sha256Hex
    rows: dict[SafeName, Count] = Field(min_length=1, max_length=100)
    code_version: CodeVersion


class RecordErased(_Event):
    """A record of a custodian's was erased, on request; how many rows went, and nothing that names it."""

    kind: Literal["record_erased"] = "record_erased"
    project: SafeName
    custodian: SafeName
    links: Count
    members: Count
    content_rows: Count
    code_version: CodeVersion


class RetentionApplied(_Event):
    """Versions of links and entity members that ended before a day were buried; how many."""

    kind: Literal["retention_applied"] = "retention_applied"
    project: SafeName
    before: date
    links: Count
    members: Count
    code_version: CodeVersion


class EncodingsDeleted(_Event):
    """The encodings of a delivery were deleted: by its custodian, or what the linkage unit kept of it by that unit.

    ``record_sha256`` is the digest of the custodian's own signed record of the deletion.
    """

    kind: Literal["encodings_deleted"] = "encodings_deleted"
    project: SafeName
    custodian: SafeName
    manifest_sha256: Sha256Hex
    deleted_at: Literal["custodian", "linkage_unit"]
    key_epoch: SafeName
    record_sha256: Sha256Hex | None = None
    code_version: CodeVersion


class HoldSet(_Event):
    """A legal hold on a record, or on a whole project, forbids erasure and expiry from now on."""

    kind: Literal["hold_set"] = "hold_set"
    project: SafeName
    scope: Literal["record", "project"]
    code_version: CodeVersion


class HoldLifted(_Event):
    """A legal hold is no more."""

    kind: Literal["hold_lifted"] = "hold_lifted"
    project: SafeName
    scope: Literal["record", "project"]
    code_version: CodeVersion


class PeopleSealed(_Event):
    """A custodian named the people of its delivery who do not exist: how many, and the digest of the list."""

    kind: Literal["people_sealed"] = "people_sealed"
    run_id: SafeName
    project: SafeName
    as_of: date
    custodian: SafeName
    people: Count
    people_sha256: Sha256Hex
    code_version: CodeVersion


class NightUnsealed(_Event):
    """Links and entity members of people who do not exist left a published night; how many. The warehouse's word."""

    kind: Literal["night_unsealed"] = "night_unsealed"
    run_id: SafeName
    project: SafeName
    links: Count
    members: Count


class RunFailed(_Event):
    """A run ended without publishing; ``code`` says why, and yesterday's links stay served."""

    kind: Literal["run_failed"] = "run_failed"
    run_id: SafeName
    project: SafeName
    code: Annotated[str, AfterValidator(_registered)]


class NightHeld(_Event):
    """A night stopped before publication; ``findings`` are codes, their sentences stand in the warehouse."""

    kind: Literal["night_held"] = "night_held"
    run_id: SafeName
    project: SafeName
    findings_sha256: Sha256Hex
    findings: list[Annotated[str, AfterValidator(_registered)]] = Field(min_length=1, max_length=1000)


class NightApproved(_Event):
    """A person approved a held night's findings; ``persons`` are all who have, in order, this one last."""

    kind: Literal["night_approved"] = "night_approved"
    run_id: SafeName
    project: SafeName
    findings_sha256: Sha256Hex
    reason: SafeName
    persons: list[SafeName] = Field(min_length=1, max_length=100)


class PairReviewed(_Event):
    """A reviewer's word on a pair of the review queue."""

    kind: Literal["pair_reviewed"] = "pair_reviewed"
    project: SafeName
    pair_id: PositiveCount
    person: SafeName
    verdict: Literal["link", "never", "unsure"]
    reason: SafeName


AuditEvent = (
    NightPublished
    | ContentLoaded
    | PeopleSealed
    | NightUnsealed
    | RunFailed
    | NightHeld
    | NightApproved
    | PairReviewed
    | RecordErased
    | RetentionApplied
    | EncodingsDeleted
    | HoldSet
    | HoldLifted
)

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class _Entry(_Event):
    at: str
    by: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    event: Annotated[AuditEvent, Field(discriminator="kind")]


def canonical_event(event: AuditEvent) -> str:
    """The event as RFC 8785 canonical JSON: equal events give equal text."""
    return rfc8785.dumps(event.model_dump(mode="json", exclude_none=True)).decode()


def digest_of_summary(summary: Mapping[str, Any]) -> str:
    """SHA-256 of a night's summary as RFC 8785 canonical JSON, as 64 hex digits; the same after a way through jsonb.

    Dates count as their ISO text, and whole numbers too large for JSON as the nearest double.
    """
    return hashlib.sha256(rfc8785.dumps(_plain(summary))).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int) and abs(value) > MAX_JSON_INTEGER:
        return float(value)
    return value


@dataclass(frozen=True)
class AuditEntry:
    """One entry of the log: the event, the login role that wrote it, and the warehouse's time then (UTC)."""

    at: datetime
    by: str
    event: AuditEvent


def canonical_entry(entry: AuditEntry) -> str:
    """The entry as RFC 8785 canonical JSON, as ``audit.append_event`` writes it."""
    at = entry.at.strftime(_TIME_FORMAT)
    head = rfc8785.dumps({"at": at, "by": entry.by}).decode()
    return f'{head[:-1]},"event":{canonical_event(entry.event)}}}'


def parse_entry(text: str) -> AuditEntry:
    """Read an entry of the log.

    Raises
    ------
    NightlinkError
        E-AUDIT-BROKEN: another text, even if only its spelling differs. The text is not quoted.
    """
    try:
        told = _Entry.model_validate_json(text)
        entry = AuditEntry(datetime.strptime(told.at, _TIME_FORMAT).replace(tzinfo=UTC), told.by, told.event)
    except (ValidationError, ValueError):
        raise _not_an_entry() from None
    if canonical_entry(entry) != text:
        raise _not_an_entry()
    return entry


def _not_an_entry() -> NightlinkError:
    return NightlinkError(
        "E-AUDIT-BROKEN",
        found="an audit entry that is no canonical event of a known kind",
        expected="an entry as this version or an earlier one writes it",
        remedy="Check the code version that wrote the entry, then verify the log.",
    )
