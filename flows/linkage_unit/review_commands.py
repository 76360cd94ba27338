"""`nightlink review`: possible matches without identifiers, and nights that were held. Zone: linkage_unit."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

UrlFile = Annotated[
    Path,
    typer.Option("--url-file", help="file with the warehouse's URL for your own role, <person>_reviewer"),
]


class Verdict(StrEnum):
    """What a reviewer may say of a pair."""

    link = "link"
    never = "never"
    unsure = "unsure"


class PairReason(StrEnum):
    """Why; words of one's own could hold a value of a record."""

    names_agree = "names_agree"
    birth_date_agrees = "birth_date_agrees"
    place_agrees = "place_agrees"
    all_agrees = "all_agrees"
    relatives = "relatives"
    namesakes = "namesakes"
    too_little_known = "too_little_known"
    known_otherwise = "known_otherwise"


class NightReason(StrEnum):
    """Why a held night may be published."""

    source_changed_as_announced = "source_changed_as_announced"
    data_checked = "data_checked"
    quality_sufficient = "quality_sufficient"


@app.callback()
def _group() -> None:
    """Clerical review and approval, under a login of one's own; nobody sees a value or a pseudonym."""


@app.command()
def pairs(
    url_file: UrlFile,
    project: Annotated[str, typer.Option("--project", help="as in the linkage protocol")],
    most: Annotated[int, typer.Option("--most", min=1, max=5000)] = 20,
) -> None:
    """List possible matches that you have not judged: what agrees, how far, how common, and bits for or against."""
    from tasks.linkage_unit.review import list_pairs

    for pair in list_pairs(url_file, project, most):
        typer.echo(
            f"pair {pair.pair_id}: {pair.custodian_a} and {pair.custodian_b}, probability {pair.score_band}"
        )
        for field in pair.evidence:
            common = f", {field['common']}" if field["common"] else ""
            typer.echo(f"    {field['field']:<14}{field['level']}{common:<12} {field['bits']:+d}")


@app.command()
def decide(
    url_file: UrlFile,
    pair: Annotated[int, typer.Option("--pair", min=1, help="its number in the list")],
    verdict: Annotated[Verdict, typer.Option("--verdict")],
    reason: Annotated[PairReason, typer.Option("--reason")],
) -> None:
    """Say what you think of a pair; it counts from the next night on, and the later word replaces the earlier."""
    from tasks.linkage_unit.review import decide as record

    typer.echo(f"pair {pair}: {verdict.value}, by {record(url_file, pair, verdict.value, reason.value)}")


@app.command()
def held(url_file: UrlFile) -> None:
    """List nights that were stopped before publication, why, and who approved so far."""
    from tasks.linkage_unit.review import list_held

    for night in list_held(url_file):
        approved = ", ".join(night.persons) or "nobody"
        typer.echo(f"night {night.run_id} of {night.project}, approved by {approved}")
        for finding in night.findings:
            typer.echo(f"    {finding['code']}: {finding['sentence']}")


@app.command()
def approve(
    url_file: UrlFile,
    night: Annotated[str, typer.Option("--night", help="as in the list of held nights")],
    reason: Annotated[NightReason, typer.Option("--reason")],
) -> None:
    """Approve the findings of a held night; with a second person's approval it publishes when it is run again."""
    from tasks.linkage_unit.review import approve as record

    persons = record(url_file, night, reason.value)
    waiting = "run the night again" if len(persons) > 1 else "a second person must approve"
    typer.echo(f"night {night}: approved by {' and '.join(persons)}; {waiting}")
