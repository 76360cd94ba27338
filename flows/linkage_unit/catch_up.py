"""`nightlink catch-up`: nights that were missed, in their order. Zone: linkage_unit."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def catch_up(
    until: Annotated[
        str | None, typer.Option("--until", help="the last night, YYYY-MM-DD; tonight if left out")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", help="pass over the missed nights up to this one, YYYY-MM-DD")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say which nights, and run none")] = False,
) -> None:
    """Link every missed night that all custodians delivered for, the earliest first; the first failure stops it.

    Missed is what the ledger has not published since the night that it serves. Run again, it does nothing.
    """
    from flows.linkage_unit.link_and_load import link_and_load
    from tasks.linkage_unit.missed_nights import missed_nights
    from tasks.linkage_unit.settings import linkage_unit
    from tasks.protocol.nights import night_of, parse_as_of

    unit = linkage_unit()
    missed = missed_nights(unit, night_of(until, unit.settings.time_zone))
    passed_over = None if after is None else parse_as_of(after)
    for night, custodians in missed.lacking.items():
        typer.echo(f"night {night}: passed over, no delivery of {', '.join(custodians)}")
    for night in missed.ready:
        if passed_over is not None and night <= passed_over:
            typer.echo(f"night {night}: passed over, as asked")
        elif dry_run:
            typer.echo(f"night {night}: would be linked")
        else:
            link_and_load(night.isoformat())
            typer.echo(f"night {night}: published")
    if not missed.ready:
        typer.echo(f"nothing missed since {missed.served or 'the beginning'} that could be linked")
