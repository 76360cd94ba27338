"""`nightlink warehouse`: set it up, migrate it, ask it. Zone: linkage_unit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage_core.errors import NightlinkError
from tasks.linkage_unit import warehouse_setup
from tasks.protocol.nights import parse_as_of

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _group() -> None:
    """The research warehouse: a PostgreSQL database. URLs come from files, never from the command line."""


@app.command()
def install(
    admin_url_file: Annotated[
        Path, typer.Option("--admin-url-file", help="URL of a superuser of the server")
    ],
    secrets: Annotated[Path, typer.Option("--secrets", help="folder for the roles' URL files")],
    database: Annotated[str, typer.Option("--database")] = "warehouse",
    content: Annotated[
        list[str],
        typer.Option("--content", help="CUSTODIAN=TABLE, such as hospital=admission; may be repeated"),
    ] = ["hospital=admission", "pharmacy=dispensing"],  # noqa: B006 - typer copies it
) -> None:
    """Create roles, database, schema and content loaders, or bring them up to date; draws new passwords."""
    for path in warehouse_setup.install(admin_url_file, database, _content_tables(content), secrets):
        typer.echo(f"wrote {path}")


@app.command()
def migrate(
    url_file: Annotated[Path, typer.Option("--url-file", help="URL of the role warehouse_owner")],
) -> None:
    """Bring the schema to this version; a second call does nothing."""
    done = warehouse_setup.migrate(url_file)
    typer.echo("\n".join(f"ran {name}" for name in done) or "nothing to do")


@app.command()
def followup(
    url_file: Annotated[Path, typer.Option("--url-file", help="URL of the role researcher")],
    project: Annotated[str, typer.Option("--project", help="as in the linkage protocol")],
    first_day: Annotated[str | None, typer.Option("--first-day", help="first day of discharge")] = None,
    last_day: Annotated[
        str | None, typer.Option("--last-day", help="last day; 30 days before the data end")
    ] = None,
) -> None:
    """Share of discharged patients who filled a prescription within 30 days, by diagnosis group, as CSV."""
    first = None if first_day is None else parse_as_of(first_day)
    last = None if last_day is None else parse_as_of(last_day)
    rows = warehouse_setup.ask_followup(url_file, project, first, last)
    if not rows:
        typer.echo("no discharged patients in that period", err=True)
        return
    typer.echo(",".join(rows[0]))
    for row in rows:
        typer.echo(",".join("" if value is None else f'"{value}"' for value in row.values()))


def _content_tables(words: list[str]) -> dict[str, list[str]]:
    tables: dict[str, list[str]] = {}
    for word in words:
        custodian, _, table = word.partition("=")
        if not custodian or not table:
            raise NightlinkError(
                "E-INPUT",
                found="a --content that is not CUSTODIAN=TABLE",
                expected="such as hospital=admission",
                remedy="Correct the option.",
            )
        tables.setdefault(custodian, []).append(table)
    return tables
