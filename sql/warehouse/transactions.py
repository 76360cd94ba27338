"""Transactions in the warehouse, and its own refusals as coded errors. Zone: linkage_unit and custodian (content)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import psycopg2
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from linkage_core.errors import NightlinkError
from sql.engine import coded_error, describe_database_error

# SQLSTATEs that the functions of schema/*.sql raise -> code, found, expected, remedy.
REFUSALS: Mapping[str, tuple[str, str, str, str]] = MappingProxyType(
    {
        "NL001": (
            "E-RUN-FENCED",
            "a newer run or a newer attempt of this run in the ledger",
            "this run's fence to be the last one handed out",
            "Nothing was changed. Look at the newer run; run this night again if it is missing.",
        ),
        "NL002": (
            "E-INPUT",
            "a run id that the ledger knows with another project, day or custodians",
            "one run id for one night of one project",
            "Choose another run id.",
        ),
        "NL003": (
            "E-RUN-FENCED",
            "a later day published already",
            "nights to be published in the order of their days",
            "Nothing was changed; what is served is newer than this night.",
        ),
        "NL004": (
            "E-RUN-FENCED",
            "another number of staged links than announced",
            "the run's whole link table in staging, untouched by another run",
            "Nothing was changed; run the night again.",
        ),
        "NL005": (
            "E-INPUT",
            "deliveries that are not exactly one of each of the run's custodians",
            "one delivery of each custodian",
            "Hand in the deliveries that the run compared.",
        ),
        "NL006": (
            "E-DLV-EQUIVOCATION",
            "two different deliveries of a custodian under one sequence number",
            "one delivery for each sequence number",
            "Nothing was changed. Ask the custodian which is right; let it deliver again under a new number.",
        ),
        "NL007": (
            "E-INPUT",
            "a run that the ledger does not know, or a login role that loads no custodian's content",
            "a run that began, and a role that was admitted as a content loader",
            "Begin the run first; for content, let the warehouse's owner admit the role.",
        ),
        "NL008": (
            "E-INPUT",
            "another number of content rows than announced, or rows without a pseudonym, date or code",
            "complete rows, all of them",
            "Nothing was changed; look at the content's validation, then load again.",
        ),
        "NL009": (
            "E-AUDIT-BROKEN",
            "an attempt to change the audit log",
            "additions only",
            "Nothing was changed; find out who tried.",
        ),
        "NL010": (
            "E-INPUT",
            "an audit event that does not say what its transaction does",
            "the event of exactly this change",
            "This is a mistake in the calling code.",
        ),
        "NL011": (
            "E-LEGAL-HOLD",
            "a legal hold on the record or its project",
            "records that nobody must keep",
            "Nothing was changed. Whoever set the hold lifts it first: nightlink retention lift-hold.",
        ),
        "NL012": (
            "E-INPUT",
            "a publication that claims an approval which two persons did not give",
            "the approval of two reviewers for exactly these findings",
            "This is a mistake in the calling code.",
        ),
        "NL013": (
            "E-INPUT",
            "a night or a pair that is not this person's to decide, or that this person approved already",
            "a held night or a queued pair, and for a night a person who has not approved it yet",
            "Look at `nightlink review held` and `nightlink review pairs`; a second person must approve.",
        ),
    }
)


@contextmanager
def warehouse_errors(doing: str) -> Iterator[None]:
    """As :func:`sql.engine.coded_database_errors`, with the warehouse's own refusals told apart."""
    try:
        yield
    except (SQLAlchemyError, psycopg2.Error) as error:
        fault = describe_database_error(error)
        refusal = REFUSALS.get(fault.sqlstate or "")
        if refusal is None:
            coded = coded_error(fault, "E-WH-UNAVAILABLE", doing)
        else:
            code, found, expected, remedy = refusal
            coded = NightlinkError(code, found=found, expected=expected, remedy=remedy)
    else:
        return
    raise coded from None


@contextmanager
def warehouse_transaction(engine: Engine, *, doing: str) -> Iterator[Connection]:
    """One connection, one transaction: committed at the end of the block, rolled back when it raises."""
    with warehouse_errors(doing), engine.begin() as connection:
        yield connection


@contextmanager
def warehouse_snapshot(engine: Engine, *, doing: str) -> Iterator[Connection]:
    """One REPEATABLE READ, READ ONLY transaction: all that is read shows the warehouse at one moment."""
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with warehouse_errors(doing), snapshot.begin() as connection:
        yield connection
