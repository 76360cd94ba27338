"""`nightlink warehouse`: set it up, migrate it, ask it. Zone: linkage_unit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.table_files import csv_line
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
    research: Annotated[
        list[str],
        typer.Option(
            "--research",
            help="ROLE=LINKAGE_PROJECT: a login role (researcher or NAME_researcher), which is a research project "
            "with pseudonyms of its own, and a linkage project that it sees; may be repeated",
        ),
    ] = ["researcher=discharge_followup"],  # noqa: B006 - typer copies it
    reviewer: Annotated[
        list[str],
        typer.Option(
            "--reviewer",
            help="a person who reviews possible matches and approves held nights; may be repeated",
        ),
    ] = [],  # noqa: B006 - typer copies it
) -> None:
    """Create roles, database, schema, content loaders and research projects and reviewers, or bring them up to date.

    Draws new passwords. Run again with other --research, it admits those as well.
    """
    content_tables, seen = _pairs(content, "--content"), _pairs(research, "--research")
    for path in warehouse_setup.install(admin_url_file, database, content_tables, seen, secrets, reviewer):
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
    typer.echo(csv_line(list(rows[0])).decode(), nl=False)
    for row in rows:
        typer.echo(
            csv_line(["" if value is None else str(value) for value in row.values()]).decode(), nl=False
        )


@app.command()
def export(
    file_format: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT", help="link-id, fhir, omop-person-map, omop-fact-relationship or dbt-sources"
        ),
    ],
    out: Annotated[Path, typer.Argument(help="the file; it appears whole or not at all")],
    url_file: Annotated[Path, typer.Option("--url-file", help="URL of a research project's role")],
    project: Annotated[str, typer.Option("--project", help="as in the linkage protocol")],
) -> None:
    """Write current links as a file for other software, under the research project's own pseudonyms."""
    from tasks.linkage_unit.export import export_file

    typer.echo(f"{export_file(url_file, project, file_format, out):,} bytes written to {out}")


def _pairs(words: list[str], option: str) -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = {}
    for word in words:
        left, _, right = word.partition("=")
        if not left or not right:
            raise NightlinkError(
                "E-INPUT",
                found=f"a {option} that is not two words with = between them",
                expected="such as --content hospital=admission, --research researcher=discharge_followup",
                remedy="Correct the option.",
            )
        pairs.setdefault(left, []).append(right)
    return pairs
