"""`nightlink protocol`: make, check, compare and describe the document that all parties agree on. Zone: protocol.

Both custodians and the linkage unit have it; it needs no key, no settings and no database.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)

DIFFERENT = 4
"""Exit code of `diff` for two protocols that do not encode alike."""

OutputFile = Annotated[
    Path | None, typer.Argument(help="the file to write; it must not exist. Standard output without it")
]


@app.command()
def preset(
    name: Annotated[str, typer.Argument(help="persons, persons-phone or minimal")],
    output: OutputFile = None,
    base: Annotated[
        Path | None, typer.Option("--from", help="another protocol file than the shipped one to take it from")
    ] = None,
) -> None:
    """Write a complete, commented protocol to review and agree on."""
    from linkage_core.protocol.protocol_presets import preset_heading, preset_protocol
    from linkage_core.protocol.protocol_text import protocol_text
    from tasks.protocol.protocol_files import shipped_protocol
    from tasks.protocol.settings_files import read_protocol

    source = shipped_protocol() if base is None else read_protocol(base)
    _put(output, protocol_text(preset_protocol(source, name), preset_heading(name)))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="a linkage protocol", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Read a protocol: its fingerprint and what would leave under it, or the sentence that says what is wrong."""
    from flows.protocol.protocol_words import described_json, described_text
    from tasks.protocol.settings_files import read_protocol

    protocol = read_protocol(file)
    typer.echo(described_json(protocol) if json else described_text(protocol), nl=False)


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="a linkage protocol", show_default=False)],
    second: Annotated[Path, typer.Argument(help="another one", show_default=False)],
) -> int:
    """Show the entries that differ; exit code 0 when both encode alike, 4 when they do not."""
    from linkage_core.protocol.linkage_protocol import protocol_fingerprint
    from linkage_core.protocol.protocol_difference import protocol_difference
    from tasks.protocol.settings_files import read_protocol

    one, other = read_protocol(first), read_protocol(second)
    lines = protocol_difference(one, other)
    for line in lines:
        typer.echo(line)
    same = "the protocols are the same: both have the fingerprint"
    words = same if not lines else "the protocols differ: encodings under one match none under the other;"
    typer.echo(
        f"{words} {protocol_fingerprint(one)}" + (f" and {protocol_fingerprint(other)}" if lines else "")
    )
    return DIFFERENT if lines else 0


@app.command()
def schema(output: OutputFile = None) -> None:
    """Write the JSON Schema of protocol files, by which editors complete and check them."""
    from linkage_core.protocol.protocol_schema import protocol_json_schema_text

    _put(output, protocol_json_schema_text())


def _put(output: Path | None, text: str) -> None:
    from tasks.protocol.protocol_files import write_new_text

    if output is None:
        typer.echo(text, nl=False)
    else:
        write_new_text(output, text)
