"""Audit events: what the warehouse's log says happened, as RFC 8785 canonical JSON text. Zone: linkage_unit.

An event carries ids, digests and counts. The text is what the hash chain covers, so it is stored as text,
never as a JSON column, which would reorder and respell it.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

import rfc8785
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from linkage_core.errors import ERROR_CODES, NightlinkError
from linkage_core.protocol.delivery_manifest import (
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
    link table that ``nightlink audit verify`` reproduces. What a night did not have (another resolution than
    one-to-one, known links, entities, an approval) is not in its text, so that older texts stay as they are.
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
    resolution: SafeName | None = None
    known_links: KnownLinksUsed | None = None
    entities: EntitiesPublished | None = None
    approval: Approval | None = None


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


AuditEvent = NightPublished | ContentLoaded | RunFailed | NightHeld | NightApproved | PairReviewed

_EVENTS: TypeAdapter[AuditEvent] = TypeAdapter(Annotated[AuditEvent, Field(discriminator="kind")])


def canonical_event(event: AuditEvent) -> str:
    """The event as RFC 8785 canonical JSON: equal events give equal text."""
    return rfc8785.dumps(event.model_dump(mode="json", exclude_none=True)).decode()


def parse_event(text: str) -> AuditEvent:
    """Read an event that :func:`canonical_event` wrote.

    Raises
    ------
    NightlinkError
        E-AUDIT-BROKEN: another text, even if only its spelling differs. The text is not quoted.
    """
    try:
        event = _EVENTS.validate_json(text)
    except (ValidationError, ValueError):
        raise _not_an_event() from None
    if canonical_event(event) != text:
        raise _not_an_event()
    return event


def _not_an_event() -> NightlinkError:
    return NightlinkError(
        "E-AUDIT-BROKEN",
        found="an audit entry that is no canonical event of a known kind",
        expected="an event as this version or an earlier one writes it",
        remedy="Check the code version that wrote the entry, then check the chain.",
    )
