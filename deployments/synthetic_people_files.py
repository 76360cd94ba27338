"""People who do not exist, as CSV files in the columns of a linkage protocol: `nightlink custodian generate`."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa

from deployments.people_folder import FIELD_OF_COLUMN
from linkage_core.errors import NightlinkError
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people


def write_people(output: Path, other: Path | None, truth: Path | None, *, people: int, seed: int) -> None:
    """Write one register, and the other and the truth where asked for; birth dates as YYYYMMDD.

    Raises
    ------
    NightlinkError
        E-OUTPUT when a file cannot be written.
    """
    made = generate_people(PeopleParameters(people_per_side=people), seed)
    _write(output, made.side_a.rename_columns([FIELD_OF_COLUMN[name] for name in made.side_a.column_names]))
    if other is not None:
        _write(
            other, made.side_b.rename_columns([FIELD_OF_COLUMN[name] for name in made.side_b.column_names])
        )
    if truth is not None:
        _write(truth, made.truth)


def _write(path: Path, table: pa.Table) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(table.column_names)
            writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    except OSError as error:
        failure = NightlinkError(
            "E-OUTPUT",
            found=f"{path} cannot be written ({error.strerror})",
            expected="a folder with free space that you may write",
            remedy="Choose another path.",
        )
    else:
        return
    raise failure
