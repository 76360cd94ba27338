"""`nightlink audit`: proof for whoever asks. Zone: linkage_unit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tasks.linkage_unit.explain_link import explain_link
from tasks.linkage_unit.verify_audit import verify_audit
from tasks.protocol.row_proofs import verify_row
from tasks.protocol.witnessed import read_witnessed

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _group() -> None:
    """The audit log: what was published when, from what, and whether it was altered since."""


@app.command()
def explain(
    link_id: Annotated[int, typer.Argument(metavar="LINK", help="the link's number (link_id)")],
    url_file: Annotated[
        Path, typer.Option("--url-file", help="file with the warehouse's URL for the role auditor")
    ],
) -> None:
    """Print where one link comes from, as JSON: evidence, nights, deliveries, and proofs that these are logged."""
    typer.echo(json.dumps(explain_link(url_file, link_id), indent=2))


@app.command()
def verify(
    url_file: Annotated[
        Path, typer.Option("--url-file", help="file with the warehouse's URL for the role auditor")
    ],
    witnesses: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", help="a checkpoint or receipt that a custodian kept, or its folder; repeatable"
        ),
    ] = None,
    linkage_unit_key: Annotated[
        str | None,
        typer.Option("--linkage-unit-key", help="the linkage unit's public signing key (with --from)"),
    ] = None,
) -> None:
    """Check the log's whole tree, and that every night's tables still have the digests that were published.

    Without --from the newest entries may have been cut off, or all of them made anew: only a witness can tell.
    """
    if (not witnesses) != (linkage_unit_key is None):
        raise typer.BadParameter("--from and --linkage-unit-key go together")
    witnessed = read_witnessed(witnesses, linkage_unit_key) if witnesses and linkage_unit_key else None
    verified = verify_audit(url_file, witnessed)
    typer.echo(f"audit log intact: {verified.entries} entries, root {verified.root}")
    if witnessed is None:
        typer.echo("no witness: ask a custodian for its receipts, and give them as --from")
    else:
        typer.echo(f"{verified.checkpoints} checkpoints bear out the first {verified.witnessed_size} entries")
    for run_id, links in verified.nights.items():
        typer.echo(f"night {run_id}: {links} links, digest as published")


@app.command("verify-row")
def verify_row_(
    proof: Annotated[Path, typer.Argument(help="what `nightlink custodian prove-row` wrote")],
    row: Annotated[Path, typer.Option("--row", help="the row that it is of: prove-row's --row-out")],
    manifest: Annotated[
        Path, typer.Option("--manifest", help="the delivery's manifest.json, from the exchange")
    ],
    custodian_key: Annotated[str, typer.Option("--custodian-key", help="the custodian's public signing key")],
) -> None:
    """Check a custodian's proof that a delivered record was made of a row; needs files alone, no key and no database.

    `nightlink audit explain LINK` says which record and which manifest a link goes back to.
    """
    shown = verify_row(proof, row, manifest, custodian_key)
    typer.echo(
        f"record {shown.record_pseudonym} of {shown.custodian}'s delivery {shown.sequence} ({shown.run_id}) was made "
        f"of this row; manifest {shown.manifest_sha256}"
    )
