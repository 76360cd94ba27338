"""`nightlink linkage-unit`: link one night by hand. Zone: linkage_unit."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _group() -> None:
    """The linkage unit; $NIGHTLINK_LINKAGE_UNIT_SETTINGS names its settings file."""


@app.command()
def link(
    as_of: Annotated[str | None, typer.Option("--as-of", help="the night's date, YYYY-MM-DD")] = None,
) -> None:
    """Receive, block, score, resolve, load and report one night."""
    from flows.linkage_unit.link_and_load import link_and_load

    link_and_load(as_of)
