"""Arguments and options that several custodian commands have. Zone: custodian."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
