"""`nightlink custodian`: what a custodian runs by hand or from its own scheduler. Zone: custodian.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linkage_core.errors import NightlinkError
from tasks.protocol.zones import SETTINGS_VARIABLE

if TYPE_CHECKING:
    from flows.custodian.edge_encoding import EdgeOrder, EdgeOutcome, EdgeRules

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)


class HeaderRule(StrEnum):
    """What to do with a CSV file's first line."""

    check = "check"
    ignore = "ignore"
    none = "none"


class XorFoldsRule(StrEnum):
    """What to do with a schema's entry xorFolds."""

    as_clkhash = "as-clkhash"
    as_documented = "as-documented"


Input = Annotated[
    Path,
    typer.Argument(
        help="people: a .csv or .parquet file; with --database-url-file a .sql file", show_default=False
    ),
]
SchemaFile = Annotated[
    Path | None, typer.Option("--schema", help="a linkage schema of clkhash (version 1, 2 or 3)")
]
ProtocolFile = Annotated[Path | None, typer.Option("--protocol", help="a linkage protocol of Nightlink")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="the secret of the schema, or the linkage key of the protocol"),
]
SiteKeyFile = Annotated[Path | None, typer.Option("--site-key-file", help="the site key (with --protocol)")]
Encoding = Annotated[str, typer.Option("--encoding", help="of a CSV file: utf-8, cp1252, utf-16, ...")]
Delimiter = Annotated[str, typer.Option("--delimiter", help="of a CSV file: , ; tab |")]
Header = Annotated[
    HeaderRule, typer.Option("--header", help="of a CSV file: check its names, ignore it, or none is there")
]
UrlFile = Annotated[
    Path | None,
    typer.Option("--database-url-file", help="a file, readable for its owner alone, with a PostgreSQL URL"),
]
XorFolds = Annotated[
    XorFoldsRule,
    typer.Option("--xor-folds", help="as-clkhash ignores the schema's xorFolds as clkhash <= 0.18.3 does"),
]
Validate = Annotated[
    bool, typer.Option("--validate/--no-validate", help="check values against the schema's formats")
]
DateFormats = Annotated[
    list[str] | None,
    typer.Option("--date-format", help="of birth dates, such as %d/%m/%Y; repeatable (with --protocol)"),
]
SourceFormatFile = Annotated[
    Path | None,
    typer.Option("--source-format", help="a TOML file with the entries of [source.format] (with --protocol)"),
]
ColumnNames = Annotated[
    list[str] | None,
    typer.Option("--column", help="FIELD=HEADER, a column of another name; repeatable (with --protocol)"),
]
AsOf = Annotated[
    str | None, typer.Option("--as-of", help="YYYY-MM-DD, today by default: later births are refused")
]
MaxRejectShare = Annotated[
    float, typer.Option("--max-reject-share", help="refuse the file beyond it", min=0, max=1)
]
ReasonsPath = Annotated[Path | None, typer.Option("--reasons", help="where the rejected rows' reasons go")]


@app.command()
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


@app.command()
def encode(
    source: Input,
    output: Annotated[Path | None, typer.Argument(help="the file to write; none in a dry run")] = None,
    schema: SchemaFile = None,
    protocol: ProtocolFile = None,
    key_file: KeyFile = None,
    site_key_file: SiteKeyFile = None,
    encoding: Encoding = "utf-8",
    delimiter: Delimiter = ",",
    header: Header = HeaderRule.check,
    database_url_file: UrlFile = None,
    xor_folds: XorFolds = XorFoldsRule.as_clkhash,
    validate: Validate = True,
    date_format: DateFormats = None,
    source_format: SourceFormatFile = None,
    column: ColumnNames = None,
    as_of: AsOf = None,
    max_reject_share: MaxRejectShare = 0.5,
    reasons: ReasonsPath = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="where the report goes, as .txt and .json")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="do everything, write nothing")] = False,
) -> int:
    """Encode people by a schema (the CLKs that clkhash would write) or a protocol (Parquet).

    Beside OUTPUT lie OUTPUT.reasons.csv (rejected rows by number and code), OUTPUT.report.txt and .json.
    """
    from flows.custodian.edge_encoding import EdgeOrder, encode_people

    if output is None and not dry_run:
        raise typer.BadParameter("give a file to write, or --dry-run", param_hint="OUTPUT")
    rules = _rules(
        schema,
        protocol,
        xor_folds,
        validate,
        date_format,
        source_format,
        column,
        as_of,
        key_file,
        site_key_file,
    )
    target = None if dry_run else output
    order = EdgeOrder(
        _input(source, encoding, delimiter, header, database_url_file), target,
        None if target is None else reasons or target.with_suffix(".reasons.csv"),
        None if target is None else report or target.with_suffix(".report"), max_reject_share,
    )  # fmt: skip
    _refuse_overwriting(order, (schema, protocol, key_file, site_key_file, source_format, database_url_file))
    warned = _warn(rules)
    outcome = encode_people(order, rules)
    _warn(rules, but=warned)
    file = outcome.report.leaves[0]
    _tell(
        outcome,
        f"would write {file.bytes} bytes, nothing written" if target is None else f"written {target}",
        order,
    )
    return outcome.exit_code


@app.command()
def tokens(
    source: Input,
    output: Annotated[Path, typer.Argument(help="the file to write: .parquet or .csv")],
    protocol: Annotated[Path, typer.Option("--protocol", help="a linkage protocol of Nightlink")],
    key_file: Annotated[Path, typer.Option("--key-file", help="the linkage key")],
    site_key_file: Annotated[Path, typer.Option("--site-key-file", help="the site key")],
    definition: Annotated[
        list[str] | None,
        typer.Option(
            "--definition",
            help="one of the protocol's tokens, repeatable; else those of 3 exact fields or more",
        ),
    ] = None,
    encoding: Encoding = "utf-8",
    delimiter: Delimiter = ",",
    header: Header = HeaderRule.check,
    database_url_file: UrlFile = None,
    date_format: DateFormats = None,
    source_format: SourceFormatFile = None,
    column: ColumnNames = None,
    as_of: AsOf = None,
    max_reject_share: MaxRejectShare = 0.5,
) -> int:
    """Make a file of tokens in site form: encrypted under the site key, to be kept here.

    Beside OUTPUT lie OUTPUT.reasons.csv (rejected rows by number and code), OUTPUT.report.txt and .json.
    """
    from flows.custodian.edge_encoding import EdgeOrder, encode_people
    from flows.custodian.edge_rules import protocol_edge, tokens_edge
    from tasks.custodian.edge_conventions import column_names, day, source_conventions

    conventions = source_conventions(source_format, date_format or [])
    edge = protocol_edge(
        protocol, conventions, column_names(column or []), day(as_of), key_file, site_key_file
    )
    rules = tokens_edge(edge, definition or [], output)
    order = EdgeOrder(
        _input(source, encoding, delimiter, header, database_url_file),
        output,
        output.with_suffix(".reasons.csv"),
        output.with_suffix(".report"),
        max_reject_share,
    )
    _refuse_overwriting(order, (protocol, key_file, site_key_file, source_format, database_url_file))
    warned = _warn(rules)
    outcome = encode_people(order, rules)
    _warn(rules, but=warned)
    _tell(outcome, f"written {output}", order)
    return outcome.exit_code


@app.command("transfer-tokens")
def transfer_tokens(
    source: Annotated[Path, typer.Argument(help="tokens in site form: .parquet or .csv")],
    output: Annotated[Path, typer.Argument(help="the file to send: .parquet or .csv")],
    protocol: Annotated[Path, typer.Option("--protocol", help="a linkage protocol of Nightlink")],
    site_key_file: Annotated[Path, typer.Option("--site-key-file", help="the site key")],
    transfer_key_file: Annotated[Path, typer.Option("--transfer-key-file", help="the transfer key")],
    linkage_unit_public_key: Annotated[
        str,
        typer.Option("--linkage-unit-public-key", help="64 hex digits, as the linkage unit's keygen printed"),
    ],
) -> None:
    """Turn tokens from site form into the form that one linkage unit, and nobody else, can use."""
    from tasks.custodian.edge_tokens import write_transfer_tokens

    rows, secret = write_transfer_tokens(
        source,
        output,
        protocol_file=protocol,
        site_key_file=site_key_file,
        transfer_key_file=transfer_key_file,
        linkage_unit_public_key=linkage_unit_public_key,
    )
    typer.echo(f"{rows} records written to {output}")
    typer.echo(
        f"from the transfer key {secret.transfer_key_id} to the linkage unit's key {secret.unit_key_id}"
    )


@app.command("validate")
def validate_(
    source: Input,
    schema: SchemaFile = None,
    protocol: ProtocolFile = None,
    encoding: Encoding = "utf-8",
    delimiter: Delimiter = ",",
    header: Header = HeaderRule.check,
    database_url_file: UrlFile = None,
    date_format: DateFormats = None,
    source_format: SourceFormatFile = None,
    column: ColumnNames = None,
    as_of: AsOf = None,
    max_reject_share: MaxRejectShare = 0.5,
    reasons: ReasonsPath = None,
) -> int:
    """Check people against a schema or a protocol; needs no key and encodes nothing."""
    from flows.custodian.edge_encoding import EdgeOrder, check_people

    rules = _rules(schema, protocol, XorFoldsRule.as_clkhash, True, date_format, source_format, column, as_of)
    order = EdgeOrder(
        _input(source, encoding, delimiter, header, database_url_file), None, reasons,
        max_reject_share=max_reject_share,
    )  # fmt: skip
    _refuse_overwriting(order, (schema, protocol, source_format, database_url_file))
    _warn(rules)
    outcome = check_people(order, rules)
    _tell(outcome, "nothing encoded", order)
    return outcome.exit_code


@app.command()
def describe(
    source: Input,
    schema: SchemaFile = None,
    protocol: ProtocolFile = None,
    key_file: KeyFile = None,
    site_key_file: SiteKeyFile = None,
    encoding: Encoding = "utf-8",
    delimiter: Delimiter = ",",
    header: Header = HeaderRule.check,
    database_url_file: UrlFile = None,
    xor_folds: XorFolds = XorFoldsRule.as_clkhash,
    validate: Validate = True,
    date_format: DateFormats = None,
    source_format: SourceFormatFile = None,
    column: ColumnNames = None,
    as_of: AsOf = None,
    max_reject_share: MaxRejectShare = 1.0,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> int:
    """Say exactly what would leave and what would not: columns, counts, digests. Writes nothing."""
    from flows.custodian.edge_encoding import EdgeOrder, encode_people
    from tasks.custodian.edge_report import report_json, report_text

    rules = _rules(
        schema,
        protocol,
        xor_folds,
        validate,
        date_format,
        source_format,
        column,
        as_of,
        key_file,
        site_key_file,
    )
    source_ = _input(source, encoding, delimiter, header, database_url_file)
    outcome = encode_people(EdgeOrder(source_, None, None, max_reject_share=max_reject_share), rules)
    typer.echo(report_json(outcome.report) if json else report_text(outcome.report), nl=False)
    return outcome.exit_code


@app.command()
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


@app.command()
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


@app.command("retire-deliveries")
def retire_deliveries(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be deleted")] = False,
) -> None:
    """Delete what was delivered in former key epochs, and leave signed records; after a rotation.

    $NIGHTLINK_CUSTODIAN_SETTINGS names the site. Manifests stay; parts go.
    """
    from datetime import UTC, datetime

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
    typer.echo(f"{len(records)} deliveries of former epochs deleted")


@app.command("erase")
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


@app.command("expire-deliveries")
def expire_deliveries(
    days: Annotated[int, typer.Option("--days", min=1, help="how long deliveries are kept")],
) -> None:
    """Delete deliveries of nights more than --days ago, and leave signed records; the newest stays."""
    from datetime import UTC, datetime

    from tasks.custodian import erase as forget
    from tasks.custodian.settings import custodian_site

    records = forget.expire_deliveries(custodian_site(), datetime.now(UTC), days)
    typer.echo(f"{len(records)} deliveries deleted, with signed records")


@app.command("verify-key")
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


@app.command("key-check", hidden=True)
def key_check() -> None:
    """The former name of verify-key."""
    verify_key(None, None, None, None, XorFoldsRule.as_clkhash)


@app.command()
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


@app.command("convert-schema")
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


def _rules(
    schema: Path | None,
    protocol: Path | None,
    xor_folds: XorFoldsRule,
    validate: bool,
    date_format: list[str] | None,
    source_format: Path | None,
    column: list[str] | None,
    as_of: str | None,
    key_file: Path | None = None,
    site_key_file: Path | None = None,
) -> EdgeRules:
    from flows.custodian.edge_rules import SchemaEdge
    from tasks.custodian.edge_schema import read_schema

    if (schema is None) == (protocol is None):
        raise typer.BadParameter("give one of --schema and --protocol")
    if schema is not None:
        if any((date_format, source_format, column, as_of, site_key_file)):
            raise typer.BadParameter(
                "--date-format, --source-format, --column, --as-of and --site-key-file go with --protocol"
            )
        return SchemaEdge(read_schema(schema, xor_folds.value), key_file, validate)
    from flows.custodian.edge_rules import protocol_edge
    from tasks.custodian.edge_conventions import column_names, day, source_conventions

    conventions = source_conventions(source_format, date_format or [])
    return protocol_edge(
        protocol, conventions, column_names(column or []), day(as_of), key_file, site_key_file
    )


def _input(source: Path, encoding: str, delimiter: str, header: HeaderRule, url_file: Path | None):  # noqa: ANN202
    from tasks.custodian.edge_input import EdgeInput

    return EdgeInput(source, encoding, delimiter, header.value, url_file)


def _refuse_overwriting(order: EdgeOrder, inputs: tuple[Path | None, ...]) -> None:
    """E-INPUT when an output would take the place of something that is read."""
    read = {path.resolve() for path in (order.source.path, *inputs) if path is not None}
    written = [path.resolve() for path in order.written if path is not None]
    if read & set(written) or len(set(written)) < len(written):
        raise NightlinkError(
            "E-INPUT",
            found="an output that is an input, or two outputs in one place",
            expected="a path of its own for each",
            remedy="Choose another path.",
        )


def _warn(rules: EdgeRules, but: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Say what the rules warn of, but for what was said before; all of it."""
    for warning in rules.warnings():
        if warning not in but:
            print(f"WARNING: {warning}", file=sys.stderr)
    return rules.warnings()


def _tell(outcome: EdgeOutcome, done: str, order: EdgeOrder) -> None:
    report = outcome.report
    for code, count in report.rejected_by_rule.items():
        typer.echo(f"  {code:<16}{count:>9}  {report.rule_meanings.get(code, '')}")
    where = f"; reasons in {order.reasons}" if order.reasons is not None and report.rows_rejected else ""
    typer.echo(f"verdict: {outcome.verdict}; {done}{where}")
