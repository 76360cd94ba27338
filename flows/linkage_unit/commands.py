"""`nightlink linkage-unit`: its keys, one night by hand, files of CLKs. Zone: linkage_unit."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tasks.linkage_unit.link_clks import ClkJob

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


class OutputType(StrEnum):
    """What `link-clks` writes; the first three are anonlink-entity-service's result types."""

    groups = "groups"
    similarity_scores = "similarity_scores"
    permutations = "permutations"
    candidate_pairs = "candidate_pairs"
    link_id = "link_id"


class Solver(StrEnum):
    """How conflicts are settled."""

    greedy = "greedy"
    optimal = "optimal"


class Method(StrEnum):
    """What `train-model` fits."""

    gradient_boosting = "gradient_boosting"
    logistic_regression = "logistic_regression"


Output = Annotated[
    Path, typer.Option("--output", "-o", help="the file to write; it appears whole or not at all")
]
Threshold = Annotated[
    float, typer.Option("--threshold", "-t", min=0.0, max=1.0, help="least Dice similarity")
]
Type = Annotated[OutputType, typer.Option("--output-type", help="what to write")]
Solving = Annotated[
    Solver, typer.Option("--solver", help="optimal: highest total similarity, two parties only")
]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", help="a party's name, in the files' order; by default the file's"),
]
Known = Annotated[Path | None, typer.Option("--known-links", help="LINK_ID table of groups to keep together")]
Budget = Annotated[
    int, typer.Option("--pair-budget", min=1, help="most pairs to hold in memory, 40 bytes each")
]


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


@app.command("verify-keys")
def verify_keys() -> None:
    """Print the ids of the keys that each custodian and this unit gave each other, to compare over the telephone."""
    from tasks.linkage_unit.settings import linkage_unit
    from tasks.protocol.new_keys import key_id_lines

    unit = linkage_unit()
    for name in unit.protocol.custodians:
        secret, public = unit.transfer_secrets[name][0], unit.settings.custodian_public_keys[name]
        typer.echo("\n".join([f"with {name}:", *key_id_lines(secret, public)]))


@app.command("receive-tokens")
def receive_tokens(
    source: Annotated[Path, typer.Argument(help="a custodian's tokens in transfer form: .parquet or .csv")],
    output: Annotated[Path, typer.Argument(help="the file of project tokens: .parquet or .csv")],
    protocol: Annotated[Path, typer.Option("--protocol", help="a linkage protocol of Nightlink")],
    encryption_key_file: Annotated[Path, typer.Option("--encryption-key-file", help="the unit's own")],
    tokens_key_file: Annotated[Path, typer.Option("--tokens-key-file", help="the unit's own")],
    transfer_public_key: Annotated[
        str, typer.Option("--transfer-public-key", help="64 hex digits, as the custodian's keygen printed")
    ],
) -> None:
    """Turn a custodian's tokens into project tokens, which agree across custodians in this project alone."""
    from tasks.linkage_unit.token_files import receive_token_file

    rows, secret = receive_token_file(
        source,
        output,
        protocol_file=protocol,
        encryption_key_file=encryption_key_file,
        tokens_key_file=tokens_key_file,
        transfer_public_key=transfer_public_key,
    )
    typer.echo(f"{rows} records written to {output}")
    typer.echo(
        f"from the transfer key {secret.transfer_key_id} to the linkage unit's key {secret.unit_key_id}"
    )


@app.command("compare-tokens")
def compare_tokens(
    first: Annotated[Path, typer.Argument(help="project tokens of one custodian")],
    second: Annotated[Path, typer.Argument(help="project tokens of the other")],
    output: Annotated[Path, typer.Argument(help="the file of pairs: .parquet or .csv")],
    protocol: Annotated[Path, typer.Option("--protocol", help="a linkage protocol of Nightlink")],
    max_pairs: Annotated[int, typer.Option("--max-pairs", help="refuse more", min=1)] = 10_000_000,
) -> None:
    """Write the pairs that agree on a token, and for each definition true, false or null (one is missing)."""
    from tasks.linkage_unit.token_files import compare_token_files

    agreements = compare_token_files(first, second, output, protocol_file=protocol, max_pairs=max_pairs)
    typer.echo(f"{agreements.pairs} pairs written to {output}; of them by definition, true / false / null:")
    for name, counts in agreements.by_definition.items():
        typer.echo(f"  {name}: {' / '.join(map(str, counts))}")


@app.command()
def link(
    as_of: Annotated[str | None, typer.Option("--as-of", help="the night's date, YYYY-MM-DD")] = None,
) -> None:
    """Receive, block, score, resolve, load and report one night."""
    from flows.linkage_unit.link_and_load import link_and_load

    link_and_load(as_of)


@app.command("train-model")
def train_model(
    labels: Annotated[Path, typer.Argument(help="labelled pairs, as a file of known links: link or never")],
    out: Annotated[Path, typer.Argument(help="the model's file to write")],
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="the night whose deliveries hold the records")
    ] = None,
    method: Annotated[Method, typer.Option("--method", help="how to learn")] = Method.gradient_boosting,
) -> None:
    """Train a match model on labelled pairs; print its entry for the settings. Needs nightlink[supervised]."""
    from tasks.linkage_unit.settings import linkage_unit
    from tasks.linkage_unit.train_model import erased_in_warehouse, train_from_labels, write_model_file
    from tasks.protocol.nights import night_of

    unit = linkage_unit()
    night = night_of(as_of, unit.settings.time_zone)
    model = train_from_labels(night, labels, method.value, unit, erased_in_warehouse(unit))
    for line in write_model_file(model, out):
        typer.echo(line)


@app.command("explain-link")
def explain_link(
    link_id: Annotated[int, typer.Argument(metavar="LINK", help="the link's number (link_id)")],
) -> None:
    """Print which parts of a link's records agreed, differed or were missing, and what each contributed, as JSON."""
    import json

    from tasks.linkage_unit.explain_evidence import explain_evidence
    from tasks.linkage_unit.settings import linkage_unit

    typer.echo(json.dumps(explain_evidence(link_id, linkage_unit()), indent=2))


@app.command(name="link-clks")
def link_clks(
    files: Annotated[list[Path], typer.Argument(help="JSON files of CLKs, one a party", show_default=False)],
    output: Output,
    threshold: Threshold = 0.8,
    output_type: Type = OutputType.groups,
    solver: Solving = Solver.greedy,
    name: Names = None,
    known_links: Known = None,
    pair_budget: Budget = 100_000_000,
) -> None:
    """Link files of CLKs as anonlink-entity-service would: {"clks": [...]}, or clknblocks, of two parties or more."""
    from tasks.linkage_unit.link_clks import link_clk_files

    names = tuple(name or (path.stem for path in files))
    job = _job(threshold, output_type, output, names, solver, known_links, pair_budget)
    for path in link_clk_files(files, job):
        typer.echo(f"wrote {path}")


@app.command(name="solve-pairs")
def solve_pairs(
    pairs: Annotated[
        Path, typer.Argument(help="anonlink's binary file of candidate pairs", show_default=False)
    ],
    records: Annotated[
        list[int], typer.Option("--records", min=0, help="how many records a party has; once a party")
    ],
    output: Output,
    threshold: Threshold = 0.0,
    output_type: Type = OutputType.groups,
    solver: Solving = Solver.greedy,
    name: Names = None,
    known_links: Known = None,
) -> None:
    """Resolve candidate pairs that anonlink, or `link-clks --output-type candidate_pairs`, has found."""
    from tasks.linkage_unit.link_clks import solve_pairs_file

    names = tuple(name or (f"party_{k}" for k in range(len(records))))
    job = _job(threshold, output_type, output, names, solver, known_links, 1)
    for path in solve_pairs_file(pairs, records, job):
        typer.echo(f"wrote {path}")


def _job(
    threshold: float,
    output_type: OutputType,
    output: Path,
    names: tuple[str, ...],
    solver: Solver,
    known_links: Path | None,
    pair_budget: int,
) -> ClkJob:
    from tasks.linkage_unit.link_clks import ClkJob

    return ClkJob(threshold, output_type.value, output, names, solver.value, known_links, pair_budget)
