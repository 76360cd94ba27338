"""Commands that need no people and no key: people who do not exist, schemas rewritten. Zone: custodian.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from linkage_core.errors import NightlinkError


def generate(
    output: Annotated[Path, typer.Argument(help="the CSV file to write; --other writes a second one")],
    people: Annotated[int, typer.Option("--people", help="how many", min=1)] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="the same seed gives the same people", min=0)] = 1,
    other: Annotated[
        Path | None, typer.Option("--other", help="the other custodian's CSV; 6 of 10 people are in both")
    ] = None,
    truth: Annotated[Path | None, typer.Option("--truth", help="a CSV of who is who")] = None,
) -> None:
    """Write people who do not exist, in the columns of a linkage protocol, to try everything with."""
    import importlib

    try:
        # The generator knows the truth, so no production code may import it; where it is installed it is asked for.
        made = importlib.import_module("deployments.synthetic_people_files")
    except ModuleNotFoundError:
        raise NightlinkError(
            "E-INPUT",
            found="an installation without the synthetic people",
            expected="the package deployments, which belongs to the whole distribution",
            remedy="Generate the file on another machine.",
        ) from None
    made.write_people(output, other, truth, people=people, seed=seed)
    typer.echo(f"{people} people who do not exist written to {output}")


def convert_schema(
    schema: Annotated[Path, typer.Argument(help="a linkage schema of version 1, 2 or 3")],
    output: Annotated[
        Path | None, typer.Argument(help="the file to write; standard output without it")
    ] = None,
) -> None:
    """Rewrite a linkage schema as version 3; it encodes the same as before."""
    import json

    from tasks.custodian.edge_schema import read_schema
    from tasks.protocol.output_files import write_whole

    parsed = read_schema(schema, "as-clkhash")
    for warning in parsed.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    text = json.dumps(parsed.document, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_whole(output, text)
