"""Reading a folder of people: ``a.parquet``, ``b.parquet`` with ``rid`` and text fields, ``truth.parquet``.

An empty text is a missing value. Whatever is wrong with a file is ``E-INPUT``, in words that hold no value.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from linkage_core.errors import NightlinkError

FIELD_OF_COLUMN = {
    "rid": "source_id", "first": "given_name", "middle": "middle_name", "last": "family_name", "dob": "birth_date",
    "sex": "sex", "street": "street", "city": "city", "zip": "postcode", "phone": "phone", "email": "email",
}  # fmt: skip
"""The protocol's name of each column of such a folder."""


def input_error(found: str, expected: str) -> NightlinkError:
    """E-INPUT about the folder."""
    return NightlinkError("E-INPUT", found=found, expected=expected, remedy="Correct the folder of people.")


def read_people_tables(folder: Path) -> tuple[pa.Table, pa.Table, pa.Table]:
    """The two sides and the truth, as they are in the files."""
    a, b, truth = (_read_table(Path(folder) / name) for name in ("a.parquet", "b.parquet", "truth.parquet"))
    return a, b, truth


def text_column(table: pa.Table, name: str, side: str) -> pa.ChunkedArray:
    """A column as utf8, null where it is missing or empty; all nulls when the table lacks it.

    Dates become YYYYMMDD. Whole numbers that arrived as floating point (a column of numbers with gaps, as
    pandas writes one) become whole numbers again.
    """
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    column = table[name]
    try:
        text = _as_text(column)
    except (pa.ArrowException, UnicodeDecodeError):
        text = None
    if text is None:
        raise input_error(f"column {name} of side {side} of type {column.type}", "text")
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def check_ids(ids: pa.ChunkedArray, side: str) -> None:
    """Refuse a side in which an id is missing or repeated."""
    if ids.null_count:
        raise input_error(f"{ids.null_count} rows without rid on side {side}", "an id in every row")
    repeated = len(ids) - pc.count_distinct(ids).as_py()
    if repeated:
        raise input_error(f"{repeated} repeated ids in rid of side {side}", "ids that are unique")


def truth_columns(truth: pa.Table) -> pa.Table:
    """``rid_a`` and ``rid_b`` of the truth, as utf8."""
    missing = [name for name in ("rid_a", "rid_b") if name not in truth.column_names]
    if missing:
        raise input_error(f"no column {', '.join(missing)} in the truth", "rid_a, rid_b")
    return pa.table({name: text_column(truth, name, "truth") for name in ("rid_a", "rid_b")})


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise input_error(f"no file {path}", "a.parquet, b.parquet and truth.parquet in the folder")
    try:
        # the file's own schema, whatever the folder's name: `x=1/` would else become a column
        return pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError):
        unreadable = input_error(f"{path}, which cannot be read as Parquet", "a Parquet file")
    raise unreadable


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        column = pc.strftime(column, "%Y%m%d")
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if pc.all(pc.equal(column, pc.round(column)), min_count=0).as_py():
            column = column.cast(pa.int64())
    return column.cast(pa.string())
