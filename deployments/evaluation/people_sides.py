"""A folder of people as the evaluation takes it: both sides by the protocol's fields, and the true rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from deployments.people_folder import (
    FIELD_OF_COLUMN,
    check_ids,
    input_error,
    read_people_tables,
    text_column,
    truth_columns,
)
from linkage_core.protocol.linkage_protocol import LinkageProtocol

Indices = npt.NDArray[np.intp]
RID, SOURCE_ID = "rid", "source_id"


@dataclass(frozen=True)
class PeopleSides:
    """Two sides and the truth about them; the repr shows no person.

    Attributes
    ----------
    side_a, side_b : RecordBatch
        ``source_id`` and those of the protocol's fields that the files have, as utf8.
    rids_a, rids_b : pyarrow.ChunkedArray
        The ids in the files' own type, by row.
    truth : two ndarrays of intp
        Rows of the true pairs, each pair once.
    truth_left_out : int
        Pairs of the truth that name a record which is on neither side, or that stand there twice.
    notes : tuple of str
        What was ignored, for the user to read.
    """

    side_a: pa.RecordBatch = field(repr=False)
    side_b: pa.RecordBatch = field(repr=False)
    rids_a: pa.ChunkedArray = field(repr=False)
    rids_b: pa.ChunkedArray = field(repr=False)
    truth: tuple[Indices, Indices] = field(repr=False)
    truth_left_out: int
    notes: tuple[str, ...]


def read_people_sides(folder: Path, protocol: LinkageProtocol) -> PeopleSides:
    """Read a folder of people.

    Parameters
    ----------
    folder : Path
        With ``a.parquet``, ``b.parquet``, ``truth.parquet``. A side has ``rid`` and any of the fields, by the
        short names of :data:`FIELD_OF_COLUMN` or the protocol's own; other columns are ignored, with a note.

    Raises
    ------
    NightlinkError
        E-INPUT for whatever is missing, unreadable or doubled, and for a truth that is about other people.
    """
    a, b, truth = read_people_tables(folder)
    notes: list[str] = []
    side_a, side_b = (_side(table, side, protocol, notes) for table, side in ((a, "a"), (b, "b")))
    rows, left_out = _true_rows(truth, side_a, side_b, notes)
    return PeopleSides(side_a, side_b, a[RID], b[RID], rows, left_out, tuple(notes))


def _side(table: pa.Table, side: str, protocol: LinkageProtocol, notes: list[str]) -> pa.RecordBatch:
    if RID not in table.column_names:
        raise input_error(f"no column {RID} on side {side}", f"{RID} and the fields of people")
    if table.num_rows == 0:
        raise input_error(f"no people on side {side}", "at least one")
    doubled = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if doubled:
        raise input_error(f"the column {doubled[0]} twice on side {side}", "each column once")
    columns = {SOURCE_ID: text_column(table, RID, side)}
    check_ids(columns[SOURCE_ID], side)
    ignored = []
    for name in table.column_names:
        standard = FIELD_OF_COLUMN.get(name, name)
        if standard not in protocol.field_names:
            ignored += [name] * (name != RID)
        elif standard in columns:
            raise input_error(f"the field {standard} in two columns of side {side}", "each field once")
        else:
            columns[standard] = text_column(table, name, side)
    if ignored:
        notes.append(f"side {side}: columns ignored: {', '.join(ignored)}")
    arrays = {name: pa.concat_arrays(column.chunks) for name, column in columns.items()}
    return pa.RecordBatch.from_pydict(arrays)


def _true_rows(
    truth: pa.Table, side_a: pa.RecordBatch, side_b: pa.RecordBatch, notes: list[str]
) -> tuple[tuple[Indices, Indices], int]:
    """Row numbers of the true pairs, and how many pairs of the file were left out."""
    pairs = truth_columns(truth)
    rows_a, rows_b = (
        pc.index_in(pairs[name], side.column(SOURCE_ID)).fill_null(-1).to_numpy().astype(np.intp)
        for name, side in (("rid_a", side_a), ("rid_b", side_b))
    )
    known = (
        (rows_a >= 0)
        & (rows_b >= 0)
        & pairs["rid_a"].is_valid().to_numpy()
        & pairs["rid_b"].is_valid().to_numpy()
    )
    if pairs.num_rows and not known.any():
        raise input_error("a truth of which no pair is on the two sides", "rid_a and rid_b of these sides")
    distinct = np.unique(np.stack([rows_a[known], rows_b[known]]), axis=1)
    left_out = pairs.num_rows - distinct.shape[1]
    if left_out:
        notes.append(f"truth: {left_out} pairs left out: unknown ids, or the same pair again")
    if any(len(np.unique(rows)) < len(rows) for rows in distinct):
        notes.append("truth: not one-to-one, so that one-to-one links cannot find all of it")
    return (np.ascontiguousarray(distinct[0]), np.ascontiguousarray(distinct[1])), left_out
