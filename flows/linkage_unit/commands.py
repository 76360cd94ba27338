"""`nightlink linkage-unit`: its keys, and one night by hand. Zone: linkage_unit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _group() -> None:
    """The linkage unit; $NIGHTLINK_LINKAGE_UNIT_SETTINGS names its settings file."""


@app.command()
def keygen(
    role: Annotated[str, typer.Option("--role", help="encryption, tokens or signing")],
    out: Annotated[Path, typer.Option("--out", help="the file to write; it must not exist")],
) -> None:
    """Make a key file of the linkage unit's own; print what of it is to be handed to the custodians, if anything."""
    from linkage_core.protocol.key_files import LINKAGE_UNIT_ROLES, own_role
    from tasks.protocol.new_keys import make_key_file, public_lines

    key_role = own_role(f"linkage_unit_{role.removeprefix('linkage_unit_')}", LINKAGE_UNIT_ROLES)
    for line in public_lines(key_role, make_key_file(key_role, out)):
        typer.echo(line)


@app.command()
def link(
    as_of: Annotated[str | None, typer.Option("--as-of", help="the night's date, YYYY-MM-DD")] = None,
) -> None:
    """Receive, block, score, resolve, load and report one night."""
    from flows.linkage_unit.link_and_load import link_and_load

    link_and_load(as_of)
