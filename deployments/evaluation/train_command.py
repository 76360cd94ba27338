"""`nightlink train-model`: a match model learnt from folders of people whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deployments.evaluation.command import DATE_FORMATS, DEFAULT_PROTOCOL, linkage_keys
from flows.linkage_unit.commands import Method

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train_model(
    folders: Annotated[list[Path], typer.Argument(help="each with a.parquet, b.parquet and truth.parquet")],
    out: Annotated[Path, typer.Option("--out", help="the model's file to write")],
    protocol_file: Annotated[
        Path, typer.Option("--protocol", help="another linkage protocol")
    ] = DEFAULT_PROTOCOL,
    method: Annotated[Method, typer.Option("--method", help="how to learn")] = Method.gradient_boosting,
    seed: Annotated[
        int | None, typer.Option("--seed", help="draw the keys from this number; else at random")
    ] = None,
) -> None:
    """Encode, block and compare the folders' people as a night would, and train on all candidates."""
    from deployments.evaluation.people_sides import read_people_sides
    from linkage_core.custodian.source_format import SourceFormat
    from linkage_core.evaluation.labelled_people import label_people
    from linkage_core.linkage_unit.model_training import join_labelled, train_model
    from tasks.linkage_unit.train_model import write_model_file
    from tasks.protocol.settings_files import read_protocol
    from tasks.protocol.stages import coded_errors_only

    protocol = read_protocol(protocol_file)
    parts = []
    for folder, key in zip(folders, linkage_keys(len(folders), seed), strict=True):
        sides = coded_errors_only(read_people_sides)(folder, protocol)
        people = (sides.side_a, sides.side_b, sides.truth, key, protocol)
        parts.append(
            coded_errors_only(label_people)(*people, source_format=SourceFormat(date_formats=DATE_FORMATS))
        )
    model = coded_errors_only(train_model)(join_labelled(parts), protocol, method.value)
    for line in write_model_file(model, out):
        typer.echo(line)
