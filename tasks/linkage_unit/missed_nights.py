"""Missed nights: what the ledger has not published and the exchange holds. Zone: linkage_unit.

The ledger says which night is served, the exchange what was delivered since. No orchestrator is asked: schedules that
were paused, runs that vanished and machines that were down all leave the same gap here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from sql.engine import make_engine
from sql.warehouse.ledger import read_head
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.exchange import all_deliveries
from tasks.protocol.stages import stage


@dataclass(frozen=True)
class MissedNights:
    """Nights later than the one that is served.

    Attributes
    ----------
    served : date or None
        The night whose links are served; None before the first.
    ready : tuple of date
        Unpublished, and every custodian delivered; ascending.
    lacking : mapping of date to tuple of str
        Unpublished, and only some custodians delivered: those that did not. A night for which nobody delivered is none.
    """

    served: date | None
    ready: tuple[date, ...]
    lacking: Mapping[date, tuple[str, ...]]


@stage("find missed nights")
def missed_nights(unit: LinkageUnit, until: date) -> MissedNights:
    """Nights up to ``until`` that can still be published: the ledger refuses one earlier than what it serves."""
    engine = make_engine(
        unit.warehouse_url,
        deadline_s=unit.settings.warehouse_deadline_s,
        application_name="nightlink linkage unit",
    )
    head = read_head(engine, unit.protocol.project)
    delivered = {name: _nights_of(unit, name) for name in unit.protocol.custodians}
    return compare_nights(None if head is None else head.as_of, delivered, until)


def compare_nights(served: date | None, delivered: Mapping[str, Iterable[date]], until: date) -> MissedNights:
    """Which of the nights that somebody delivered for are ready, and which lack a custodian.

    Parameters
    ----------
    served : date or None
        The night that the ledger serves.
    delivered : mapping of str to dates
        Each custodian's nights with a complete delivery.
    until : date
        The last night that counts.
    """
    nights = {name: set(dates) for name, dates in delivered.items()}
    first = date.min if served is None else served + timedelta(days=1)
    missed = sorted(night for night in set().union(*nights.values()) if first <= night <= until)
    without = {night: tuple(name for name in nights if night not in nights[name]) for night in missed}
    return MissedNights(
        served,
        tuple(night for night, names in without.items() if not names),
        {night: names for night, names in without.items() if names},
    )


def _nights_of(unit: LinkageUnit, custodian: str) -> set[date]:
    """Nights with a complete delivery; other folders of the exchange are no nights."""
    nights = set()
    for folder in all_deliveries(unit.settings.exchange, custodian):
        try:
            nights.add(date.fromisoformat(folder.run_id))
        except ValueError:
            continue
    return nights
