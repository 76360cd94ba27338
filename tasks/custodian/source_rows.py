"""Rows of a file or database on their way to the encoder, each with its number. Zone: custodian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.errors import NightlinkError

BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Misfit:
    """A stretch of a file that is no row: its number among the rows, its lines, and why."""

    row_number: int
    first_line: int
    last_line: int
    code: str


@dataclass(frozen=True)
class SourceBatch:
    """Some rows of a source, columns as text or bytes.

    Attributes
    ----------
    columns : tuple of pyarrow arrays
        In the order of the source's names.
    row_numbers : ndarray of int64, shape (n,)
        From 1, without header and blank lines; misfits have numbers too.
    lines : ndarray of int64, shape (n, 2), or None
        First and last line of each row in the file, from 1; None where a source has no lines.
    misfits : tuple of Misfit
        What lay between these rows and is none.
    bytes_read : int
        Bytes of the file that were read so far, for progress; 0 where unknown.
    """

    columns: tuple[pa.Array, ...] = field(repr=False)
    row_numbers: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64] | None = None
    misfits: tuple[Misfit, ...] = ()
    bytes_read: int = 0

    def lines_of(self, row: int) -> tuple[int | str, int | str]:
        """First and last line of a row, empty where there are none."""
        return ("", "") if self.lines is None else (int(self.lines[row, 0]), int(self.lines[row, 1]))


def text_column(values: Sequence[str]) -> pa.Array:
    """A column of text; of bytes where a value was no text in the file's encoding."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:  # lone surrogates, by which undecodable bytes were marked
        return pa.array([value.encode("utf-8", "surrogateescape") for value in values], pa.binary())


def wrong_source(path: Path, found: str, expected: str, remedy: str) -> NightlinkError:
    """E-SRC-SCHEMA about a source file; never quotes what the file holds."""
    return NightlinkError("E-SRC-SCHEMA", found=f"{found}, in {path.name}", expected=expected, remedy=remedy)


def unreadable_source(path: Path, found: str, remedy: str = "Correct the path.") -> NightlinkError:
    """E-INPUT about a source file."""
    return NightlinkError(
        "E-INPUT", found=f"{found}, at {path}", expected="a readable file of people", remedy=remedy
    )
