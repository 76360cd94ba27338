"""Pairs of pseudonyms of two key epochs, staged for the one night that carries entities over. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from sqlalchemy import Engine, text

from sql.copy_rows import copy_rows
from sql.engine import retry_transient
from sql.statements import load_statements
from sql.warehouse.ledger import LedgerRun
from sql.warehouse.transactions import warehouse_errors, warehouse_transaction

CarriedRow = tuple[str, str, str]
"""Custodian, record pseudonym of this epoch, and of the former one, as UUID text."""
_statements = partial(load_statements, "sql.warehouse", "epoch_passage.sql")


def stage_passages(
    engine: Engine, run: LedgerRun, rows: Iterable[CarriedRow], retry_window_s: float = 60.0
) -> int:
    """Stage the pairs in place of what the run staged before; returns their number.

    Until the run publishes, they tell whose entity a record continues, and who was erased under the former name; then
    they are gone. The next run to begin removes those of a run that did not publish.
    """
    rows = list(rows)

    def attempt() -> int:
        with warehouse_transaction(engine, doing="staging the passage between epochs") as connection:
            with warehouse_errors("staging the passage between epochs"):
                connection.execute(text(_statements()["empty_passages"]), {"run_id": run.run_id})
                staged = copy_rows(
                    connection,
                    _statements()["stage_passages"],
                    ((run.run_id, run.fence, *row) for row in rows),
                )
            return staged.row_count

    return retry_transient(attempt, window_s=retry_window_s)


def count_carried_holds(engine: Engine, run: LedgerRun) -> tuple[int, int]:
    """Records of the project under a legal hold, and those of them that the staged pairs name anew."""
    key = {"run_id": run.run_id, "fence": run.fence}
    with warehouse_transaction(engine, doing="counting the legal holds that go on") as connection:
        held, carried = connection.execute(text(_statements()["count_carried_holds"]), key).one()
    return held, carried
