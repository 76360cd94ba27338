"""How far a command is: a bar on a terminal, plain lines elsewhere. Zone: custodian."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SECONDS_A_LINE = 5.0


class Progress(Protocol):
    """What is told after each batch."""

    def __call__(self, rows: int, bytes_read: int) -> None: ...


@contextmanager
def progress(doing: str, total_bytes: int) -> Iterator[Progress]:
    """Tell rows so far on standard error; ``total_bytes`` is 0 where the end is not known."""
    if sys.stderr.isatty():
        with _bar(doing, total_bytes) as told:
            yield told
    else:
        yield _plain_lines(doing)


def _plain_lines(doing: str) -> Progress:
    last = time.monotonic()

    def tell(rows: int, bytes_read: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_A_LINE:
            last = time.monotonic()
            print(f"{doing}: {rows} rows", file=sys.stderr, flush=True)

    return tell


@contextmanager
def _bar(doing: str, total_bytes: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total_bytes or None)

        def tell(rows: int, bytes_read: int) -> None:
            bar.update(task, completed=bytes_read, description=f"{doing}: {rows} rows")

        yield tell
