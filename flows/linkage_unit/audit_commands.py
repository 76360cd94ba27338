"""`nightlink audit`: proof for whoever asks. Zone: linkage_unit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasks.linkage_unit.verify_audit import verify_audit

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _group() -> None:
    """The audit log: what was published when, from what, and whether it was altered since."""


@app.command()
def verify(
    url_file: Annotated[
        Path, typer.Option("--url-file", help="file with the warehouse's URL for the role auditor")
    ],
) -> None:
    """Check the log's whole tree, and that every night's tables still have the digests that were published."""
    verified = verify_audit(url_file)
    typer.echo(f"audit log intact: {verified.entries} entries, root {verified.root}")
    for run_id, links in verified.nights.items():
        typer.echo(f"night {run_id}: {links} links, digest as published")
