"""Which rows were refused, and why: numbers, lines, fields and codes, never a value. Zone: custodian."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tasks.custodian.source_rows import SourceBatch
from tasks.protocol.output_files import DigestedFile

COLUMNS = ("row_number", "first_line", "last_line", "field", "reason")


Breach = tuple[int, str, str]
"""Index of a row within its batch, name of the field, reason code."""


class Verdicts(Protocol):
    """What the checks of both kinds of rules tell."""

    @property
    def rows(self) -> npt.NDArray[np.intp]: ...
    @property
    def fields(self) -> tuple[str, ...]: ...
    @property
    def codes(self) -> tuple[str, ...]: ...


def breaches_of(verdicts: Verdicts, first: int = 0) -> list[Breach]:
    """The breaches of a piece of a batch that begins with row ``first``."""
    return list(zip((verdicts.rows + first).tolist(), verdicts.fields, verdicts.codes, strict=True))


class ReasonsFile:
    """The refused rows of one run, counted and written in the order of their numbers."""

    def __init__(self, file: DigestedFile) -> None:
        self._file = file
        self.row_numbers: set[int] = set()
        self.by_rule: Counter[str] = Counter()
        self._write([COLUMNS])

    def add(self, batch: SourceBatch, breaches: Sequence[Breach]) -> None:
        """Note a batch's misfits, and its rows at fault."""
        lines = [
            (misfit.row_number, misfit.first_line, misfit.last_line, "", misfit.code)
            for misfit in batch.misfits
        ]
        lines += [
            (int(batch.row_numbers[row]), *batch.lines_of(row), field, code) for row, field, code in breaches
        ]
        self._write(sorted(lines, key=lambda line: line[0]))
        self.row_numbers.update(line[0] for line in lines)
        self.by_rule.update(code for _, code in {(line[0], line[-1]) for line in lines})

    @property
    def rejected(self) -> int:
        """Rejected rows so far."""
        return len(self.row_numbers)

    def accepted_numbers_text(self, read: int) -> str:
        """A CSV text that says which row each encoding is of, for outputs in the order of the rows."""
        accepted = (number for number in range(1, read + 1) if number not in self.row_numbers)
        return "encoding,row_number\n" + "".join(f"{i},{number}\n" for i, number in enumerate(accepted))

    def _write(self, lines: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        self._file.write(text.getvalue().encode("utf-8"))
