"""Commands that make keys and compare them. Zone: custodian.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.custodian.command_options import KeyFile, ProtocolFile, SchemaFile, XorFolds, XorFoldsRule


def keygen(
    role: Annotated[str, typer.Option("--role", help="linkage, site, signing or transfer")],
    out: Annotated[Path, typer.Option("--out", help="the file to write; it must not exist")],
    epoch: Annotated[
        str | None,
        typer.Option("--epoch", help="of a linkage or site key: it is refused in any other key_epoch"),
    ] = None,
) -> None:
    """Make a key file that only its owner can read; print what of it is to be handed over, if anything."""
    from linkage_core.protocol.key_files import CUSTODIAN_ROLES, EPOCH_ROLES, own_role
    from tasks.protocol.new_keys import make_key_file, public_lines

    key_role = own_role(role, CUSTODIAN_ROLES)
    if epoch is not None and key_role not in EPOCH_ROLES:
        raise typer.BadParameter("linkage and site keys have an epoch", param_hint="--epoch")
    for line in public_lines(key_role, make_key_file(key_role, out, epoch)):
        typer.echo(line)


def verify_key(
    schema: SchemaFile = None,
    protocol: ProtocolFile = None,
    key_file: KeyFile = None,
    theirs: Annotated[
        str | None, typer.Option("--theirs", help="the value that the other custodian reads out")
    ] = None,
    xor_folds: XorFolds = XorFoldsRule.as_clkhash,
) -> None:
    """Print the key-check value, to compare over the telephone; with --theirs, compare it.

    Without options it is that of the site that $NIGHTLINK_CUSTODIAN_SETTINGS names, and the ids of the public keys
    that it and the linkage unit gave each other follow, to compare with the linkage unit's own verify-keys.
    """
    from flows.custodian.key_checks import compare_values, protocol_check, schema_check, site_check

    if schema is not None and protocol is not None:
        raise typer.BadParameter("one of --schema and --protocol")
    if (schema or protocol) and key_file is None:
        raise typer.BadParameter("give the key's file", param_hint="--key-file")
    if schema is not None and key_file is not None:
        check = schema_check(schema, key_file, xor_folds.value)
    elif protocol is not None and key_file is not None:
        check = protocol_check(protocol, key_file)
    else:
        check = site_check()
    typer.echo(f"key-check value: {check.value}\nread it out as: {check.spoken}")
    typer.echo(f"{check.rules} fingerprint: {check.fingerprint}")
    if check.epoch is not None:
        typer.echo(f"key epoch: {check.epoch}")
    if check.seals:
        typer.echo("\n".join(["with the linkage unit:", *check.seals]))
    if theirs is not None:
        compare_values(check, theirs)
        typer.echo("the values agree: both custodians hold the same key and the same rules")


def key_check() -> None:
    """The former name of verify-key."""
    verify_key(None, None, None, None, XorFoldsRule.as_clkhash)
