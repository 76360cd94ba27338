"""`nightlink custodian`: what a custodian runs by hand or from its own scheduler. Zone: custodian."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from linkage_core.audit.signatures import public_key_hex, signing_key_from_seed
from linkage_core.errors import NightlinkError
from linkage_core.protocol.key_files import format_key_file

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def deliver(
    as_of: Annotated[str | None, typer.Option("--as-of", help="the night's date, YYYY-MM-DD")] = None,
) -> None:
    """Extract, validate, normalise, encode and deliver one night; $NIGHTLINK_CUSTODIAN_SETTINGS names the site."""
    from flows.custodian.encode_and_deliver import encode_and_deliver

    encode_and_deliver(as_of)


@app.command()
def keygen(
    role: Annotated[str, typer.Option("--role", help="linkage, site or signing")],
    out: Annotated[Path, typer.Option("--out", help="the file to write; it must not exist")],
) -> None:
    """Make a key file that only its owner can read; for a signing key, print the public key to hand over."""
    key = secrets.token_bytes(32)
    text = format_key_file(role, key)  # refuses an unknown role before there is a file
    try:
        descriptor = os.open(out, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise NightlinkError(
            "E-KEY-FILE",
            found=f"{out} cannot be created ({error.strerror})",
            expected="a path that does not exist yet, in a folder that you may write",
            remedy="Choose another path; a key is never overwritten.",
        ) from None
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    if role == "signing":
        typer.echo(f"public key: {public_key_hex(signing_key_from_seed(key))}")


@app.command("key-check")
def key_check() -> None:
    """Print the key-check value and the protocol's fingerprint, to compare with the other custodian's."""
    from linkage_core.custodian.key_derivation import derive_custodian_keys
    from linkage_core.protocol.linkage_protocol import protocol_fingerprint
    from tasks.custodian.settings import custodian_site

    site = custodian_site()
    typer.echo(
        f"key-check value: {derive_custodian_keys(site.linkage_key, site.protocol).key_check_value.hex()}"
    )
    typer.echo(f"protocol fingerprint: {protocol_fingerprint(site.protocol)}")
