"""Commands on a file of people: encode, tokens, validate, describe. Zone: custodian.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.custodian.command_options import (
    AsOf,
    ColumnNames,
    DateFormats,
    Delimiter,
    Encoding,
    Header,
    HeaderRule,
    Input,
    KeyFile,
    MaxRejectShare,
    ProtocolFile,
    ReasonsPath,
    SchemaFile,
    SiteKeyFile,
    SourceFormatFile,
    UrlFile,
    Validate,
    XorFolds,
    XorFoldsRule,
)
from linkage_core.errors import NightlinkError

if TYPE_CHECKING:
    from flows.custodian.edge_encoding import EdgeOrder, EdgeOutcome, EdgeRules


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
