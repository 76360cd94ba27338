"""`nightlink retention`: forget what was kept long enough, unless it is held. Zone: linkage_unit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tasks.linkage_unit.forget import apply_retention_periods, change_hold, erase_records, read_record_file
from tasks.linkage_unit.settings import linkage_unit

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Custodian = Annotated[str, typer.Option("--custodian", help="whose record it is, as in the protocol")]
Records = Annotated[Path, typer.Option("--records", help="file of record pseudonyms, one UUID a line")]


@app.callback()
def _group() -> None:
    """Retention periods, erasure and legal holds; $NIGHTLINK_LINKAGE_UNIT_SETTINGS names the settings file."""


@app.command()
def apply() -> None:
    """Bury and remove what is older than the settings' [retention] keeps it."""
    lines = apply_retention_periods(linkage_unit(), datetime.now(UTC).date())
    typer.echo("\n".join(lines) or "the settings name no retention period: everything is kept")


@app.command()
def erase(custodian: Custodian, records: Records) -> None:
    """Erase records for ever: their links are buried, and the next full delivery cannot bring them back."""
    unit, wanted = linkage_unit(), read_record_file(records)
    for number, erasure in enumerate(erase_records(unit, custodian, wanted), start=1):
        told = f"{erasure.links} links, {erasure.members} memberships, {erasure.content_rows} rows of content"
        typer.echo(f"record {number}: " + ("erased before" if erasure.nothing_left else f"erased, {told}"))


@app.command()
def hold(custodian: Custodian = "", records: Annotated[Path | None, Records.__metadata__[0]] = None) -> None:
    """Forbid to erase or expire records; without --records, anything of the project."""
    _change_holds(custodian, records, held=True)


@app.command("lift-hold")
def lift_hold(
    custodian: Custodian = "", records: Annotated[Path | None, Records.__metadata__[0]] = None
) -> None:
    """Lift what `hold` set."""
    _change_holds(custodian, records, held=False)


def _change_holds(custodian: str, records: Path | None, *, held: bool) -> None:
    unit = linkage_unit()
    wanted: list[str | None] = [None] if records is None else list(read_record_file(records))
    changed = [change_hold(unit, custodian or None, record, held=held) for record in wanted]
    typer.echo(
        f"{sum(changed)} holds {'set' if held else 'lifted'}, {len(changed) - sum(changed)} were so already"
    )
