"""Commands of a site with settings: its night, receipts, proofs, and what is deleted. Zone: custodian.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tasks.protocol.zones import SETTINGS_VARIABLE


def deliver(
    as_of: Annotated[str | None, typer.Option("--as-of", help="the night's date, YYYY-MM-DD")] = None,
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="this site's settings; else $NIGHTLINK_CUSTODIAN_SETTINGS names it"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="read and judge everything, deliver nothing")
    ] = False,
) -> None:
    """Extract, validate, normalise, encode and deliver one night, from a database or a file of people.

    In the settings' state folder then lie quarantine/DATE.csv (rejected rows by number and code) and
    reports/DATE.txt and .json (what left and what did not).
    """
    if settings is not None:
        # A flow's parameters are dates and nothing else: Prefect stores them. So the way is the environment's.
        os.environ[SETTINGS_VARIABLE["custodian"]] = str(settings)
    if dry_run:
        from flows.custodian.try_night import try_night

        try_night(as_of)
        return
    from flows.custodian.encode_and_deliver import encode_and_deliver

    encode_and_deliver(as_of)


def receipts(
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="this site's settings; else $NIGHTLINK_CUSTODIAN_SETTINGS names it"),
    ] = None,
) -> None:
    """Take the linkage unit's receipts now, and print the newest checkpoint of its audit log.

    Every night does so before it delivers. What is in state/witness is what an auditor gives to `audit verify --from`.
    """
    from tasks.custodian.settings import custodian_site
    from tasks.custodian.witness import take_receipts

    if settings is not None:
        os.environ[SETTINGS_VARIABLE["custodian"]] = str(settings)
    newest = take_receipts(custodian_site())
    if newest is None:
        typer.echo("no receipt yet")
    else:
        typer.echo(
            f"{newest.origin}: {newest.size} entries, root {newest.root.hex()}, {newest.at.isoformat()}"
        )


def carry_epoch(
    former_site_key_file: Annotated[
        Path, typer.Option("--former-site-key-file", help="the site key of the former epoch")
    ],
    former_epoch: Annotated[str, typer.Option("--former-epoch", help="its name")],
) -> None:
    """Tell the linkage unit, sealed, which records go on under which new pseudonyms; once, in a rotation.

    Between installing the new keys and the first delivery under them. Entity ids go on, and who was erased stays away;
    left out, entities begin anew. $NIGHTLINK_CUSTODIAN_SETTINGS names the site.
    """
    from tasks.custodian.carry_epoch import carry_epoch as write_passage
    from tasks.custodian.settings import custodian_site

    site = custodian_site()
    count = write_passage(site, former_site_key_file, former_epoch)
    into = site.protocol.key_epoch
    typer.echo(
        f"carried into {into} already"
        if count is None
        else f"{count} records go on from {former_epoch} to {into}"
    )


def retire_deliveries(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be deleted")] = False,
) -> None:
    """Delete what was delivered in former key epochs, and leave signed records; after a rotation.

    $NIGHTLINK_CUSTODIAN_SETTINGS names the site. Manifests stay; parts go.
    """
    from datetime import UTC, datetime

    from tasks.custodian.carry_epoch import forget_passage
    from tasks.custodian.retire import delete_retired, retired_deliveries
    from tasks.custodian.settings import custodian_site

    site = custodian_site()
    if dry_run:
        for delivery in retired_deliveries(site):
            manifest = delivery.manifest
            state = "deleted already" if delivery.deleted else f"would delete {len(manifest.files)} parts"
            typer.echo(f"{manifest.run_id} {manifest.sequence} epoch {manifest.key_epoch}: {state}")
        return
    records = delete_retired(site, datetime.now(UTC))
    for record in records:
        typer.echo(
            f"{record.run_id} {record.sequence} epoch {record.key_epoch}: deleted {len(record.parts)} parts, "
            f"manifest {record.manifest_sha256}"
        )
    if forget_passage(site):
        typer.echo("pairs of former and new pseudonyms deleted")
    typer.echo(f"{len(records)} deliveries of former epochs deleted")


def erase(
    ids_file: Annotated[Path, typer.Argument(help="source ids of the people to erase, one a line")],
    records: Annotated[Path, typer.Option("--records", help="file of record pseudonyms, to be written")],
) -> None:
    """Delete what was delivered and kept, and write the pseudonyms by which the linkage unit erases the people.

    $NIGHTLINK_CUSTODIAN_SETTINGS names the site. Hand the file of pseudonyms to the linkage unit (`nightlink retention
    erase`), and deliver again: tonight's delivery is deleted as well.
    """
    from datetime import UTC, datetime

    from tasks.custodian.erase import purge_deliveries, write_record_file
    from tasks.custodian.settings import custodian_site

    site = custodian_site()
    typer.echo(f"{write_record_file(site, ids_file, records)} record pseudonyms written to {records}")
    typer.echo(f"{len(purge_deliveries(site, datetime.now(UTC)))} deliveries deleted, with signed records")


def prove_row(
    id_file: Annotated[Path, typer.Argument(help="file with the source id of one record")],
    out: Annotated[Path, typer.Option("--out", help="file of the proof, to be written")],
    sequence: Annotated[
        int | None,
        typer.Option("--sequence", help="the delivery; the newest that brought the record without it", min=1),
    ] = None,
    row_out: Annotated[
        Path | None,
        typer.Option("--row-out", help="file of the readable row, for whom you want to convince"),
    ] = None,
) -> None:
    """Prove that a delivered record was made of the row which the source has under an id, and of no other.

    $NIGHTLINK_CUSTODIAN_SETTINGS names the site. `nightlink audit verify-row` checks the proof. Nothing readable is in
    it, but who holds it can try rows against this one record: hand it to whom you want to convince alone.
    """
    from tasks.custodian.prove_row import write_row_proof
    from tasks.custodian.settings import custodian_site

    proof = write_row_proof(custodian_site(), id_file, out, sequence, row_out).proof
    typer.echo(
        f"proved: record {proof.record_pseudonym} of delivery {proof.sequence} ({proof.run_id}), manifest "
        f"{proof.manifest_sha256}"
    )


def expire_deliveries(
    days: Annotated[int, typer.Option("--days", min=1, help="how long deliveries are kept")],
) -> None:
    """Delete deliveries of nights more than --days ago, and leave signed records; the newest stays."""
    from datetime import UTC, datetime

    from tasks.custodian import erase as forget
    from tasks.custodian.settings import custodian_site

    records = forget.expire_deliveries(custodian_site(), datetime.now(UTC), days)
    typer.echo(f"{len(records)} deliveries deleted, with signed records")
