"""A month of people's lives in two sources: who is born, moves, marries, is corrected, dies; and the truth of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from random import Random

import psycopg2

from deployments.demo.source_data import SourceFill
from deployments.demo.stage_setting import CUSTODIANS
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people

# Of each thousand people at a side, every night; a year of a real town has a tenth of it.
NIGHTLY_PER_THOUSAND = {"born": 1.0, "moved": 4.0, "married": 1.0, "mistyped": 2.0, "died": 1.0}
LONGEST_LAG = 5
"""Nights until the other custodian hears of it, drawn evenly from 0 to this many."""
NEVER_TOLD = 0.1
"""Share of changes that the other custodian never hears of."""
_TABLES = {"hospital": ("patient", "patient_id"), "pharmacy": ("customer", "cust_no")}
_CONTENT = {"hospital": "admission", "pharmacy": "dispensing"}
_COLUMNS = {
    "hospital": {"first": "given_name", "last": "family_name", "street": "street", "city": "city",
                 "zip": "postcode", "dob": "birth_date", "sex": "sex"},
    "pharmacy": {"first": "forename", "last": "surname", "street": "address_line", "city": "town",
                 "zip": "zip", "dob": "dob", "sex": "gender"},
}  # fmt: skip
_SEX = {"hospital": {"m": "M", "f": "F"}, "pharmacy": {"m": "1", "f": "2"}}
Change = Callable[[], None]


@dataclass
class MonthPeople:
    """The people of both sources by their own ids, the true pairs, and what is still on its way to the other side.

    Everything is drawn from one seeded generator: the same month again is the same month.
    """

    urls: dict[str, str]
    pairs: dict[str, str]
    """True pairs: hospital's id to pharmacy's id."""
    ids: dict[str, list[str]]
    random: Random
    newcomers: list[dict[str, str]]
    counts: dict[str, int] = field(default_factory=dict)
    _later: dict[int, list[Change]] = field(default_factory=dict)
    _next_number: int = 9_000_000

    def live_one_day(self, night_number: int, day: date) -> dict[str, int]:
        """What happened since the last night, in both sources; counts by kind."""
        self.counts = dict.fromkeys((*NIGHTLY_PER_THOUSAND, "corrected", "heard of later"), 0)
        for change in self._later.pop(night_number, []):
            change()
            self.counts["heard of later"] += 1
        kinds = {"born": self._born, "moved": self._moved, "married": self._married, "mistyped": self._mistyped,
                 "died": self._died}  # fmt: skip
        for kind, happens in kinds.items():
            for _ in range(self._number_of(kind)):
                happens(night_number, day)
                self.counts[kind] += 1
        return self.counts

    def choose_to_erase(self) -> tuple[str, str]:
        """A pair that asks to be forgotten; it stays in the sources, and is out of the truth."""
        a = self.random.choice(sorted(self.pairs))
        return a, self.pairs.pop(a)

    def _number_of(self, kind: str) -> int:
        expected = NIGHTLY_PER_THOUSAND[kind] * len(self.pairs) / 1000
        return int(expected) + (self.random.random() < expected % 1)

    # -- what happens

    def _born(self, night_number: int, day: date) -> None:
        """The hospital has the child that day; the pharmacy, once a prescription is filled."""
        child, number = self.newcomers.pop(), self._next_number
        self._next_number += 1
        a, b = f"H{number:07d}", f"P-{number:08d}"
        row = {**child, "dob": day.strftime("%Y%m%d")}
        self._insert("hospital", a, row)

        def becomes_customer() -> None:
            self._insert("pharmacy", b, row)
            self.pairs[a] = b

        self._tell(night_number, becomes_customer)

    def _moved(self, night_number: int, day: date) -> None:
        where = self.random.choice(self.newcomers)
        self._changed(night_number, {name: where[name] for name in ("street", "city", "zip")})

    def _married(self, night_number: int, day: date) -> None:
        self._changed(night_number, {"last": self.random.choice(self.newcomers)["last"]})

    def _changed(self, night_number: int, values: dict[str, str]) -> None:
        """One custodian hears of it today, the other some nights later or never."""
        pair = self._some_pair()
        first, second = self.random.sample(CUSTODIANS, 2)
        self._update(first, pair[first], values)
        self._tell(night_number, lambda: self._update(second, pair[second], values))

    def _mistyped(self, night_number: int, day: date) -> None:
        """A desk exchanges two letters of a given name; some nights later somebody corrects it."""
        custodian, pair = self.random.choice(CUSTODIANS), self._some_pair()
        [(name,)] = self._rows(custodian, pair[custodian], "first")
        if not name or len(name) < 3:
            return
        place = self.random.randrange(len(name) - 1)
        slip = name[:place] + name[place + 1] + name[place] + name[place + 2 :]
        self._update(custodian, pair[custodian], {"first": slip})

        def correct() -> None:
            self._update(custodian, pair[custodian], {"first": name})
            self.counts["corrected"] += 1

        self._later.setdefault(night_number + 1 + self.random.randrange(LONGEST_LAG), []).append(correct)

    def _died(self, night_number: int, day: date) -> None:
        """The row goes at one custodian; until it goes at the other as well, nobody is there to be linked."""
        pair = self._some_pair()
        self.pairs.pop(pair["hospital"])
        first, second = self.random.sample(CUSTODIANS, 2)
        self._delete(first, pair[first])
        self._tell(night_number, lambda: self._delete(second, pair[second]))

    def _tell(self, night_number: int, change: Change) -> None:
        lag = self.random.randrange(LONGEST_LAG + 1)
        if self.random.random() < NEVER_TOLD:
            return
        if lag == 0:
            change()
        else:
            self._later.setdefault(night_number + lag, []).append(change)

    def _some_pair(self) -> dict[str, str]:
        a = self.random.choice(sorted(self.pairs))
        return {"hospital": a, "pharmacy": self.pairs[a]}

    # -- in the sources' own notations

    def _insert(self, custodian: str, number: str, row: dict[str, str]) -> None:
        own = self._in_notation(custodian, row)
        table, key = _TABLES[custodian]
        columns = ", ".join([key, *own])
        self._execute(
            custodian,
            f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * (len(own) + 1))})",
            [number, *own.values()],
        )
        self.ids[custodian].append(number)

    def _update(self, custodian: str, number: str, row: dict[str, str]) -> None:
        own, (table, key) = self._in_notation(custodian, row), _TABLES[custodian]
        assigned = ", ".join(f"{name} = %s" for name in own)
        self._execute(custodian, f"UPDATE {table} SET {assigned} WHERE {key} = %s", [*own.values(), number])

    def _delete(self, custodian: str, number: str) -> None:
        table, key = _TABLES[custodian]
        for name in (_CONTENT[custodian], table):
            self._execute(custodian, f"DELETE FROM {name} WHERE {key} = %s", [number])

    def _rows(self, custodian: str, number: str, name: str) -> list[tuple[str | None]]:
        table, key = _TABLES[custodian]
        column = _COLUMNS[custodian][name]
        return self._execute(custodian, f"SELECT {column} FROM {table} WHERE {key} = %s", [number])

    def _in_notation(self, custodian: str, row: dict[str, str]) -> dict[str, str | None]:
        own: dict[str, str | None] = {}
        for name, value in row.items():
            if name not in _COLUMNS[custodian]:
                continue
            text = value.upper() if custodian == "pharmacy" else value
            if name == "dob":
                text = f"{value[6:]}/{value[4:6]}/{value[:4]}" if custodian == "pharmacy" else value
            elif name == "sex":
                text = _SEX[custodian].get(value.lower(), "")
            own[_COLUMNS[custodian][name]] = text or None
        return own

    def _execute(self, custodian: str, statement: str, values: list[str | None]) -> list[tuple[str | None]]:
        connection = psycopg2.connect(self.urls[custodian])
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()


def people_of_month(
    urls: dict[str, str],
    fills: dict[str, SourceFill],
    truth: list[tuple[str, str]],
    newcomers: int,
    seed: int,
) -> MonthPeople:
    """The demo's people as the month finds them, and a reserve of people who are yet to come."""
    ids = {name: fill.source_ids for name, fill in fills.items()}
    pairs = {ids["hospital"][a]: ids["pharmacy"][b] for a, b in truth}
    reserve = generate_people(PeopleParameters(people_per_side=newcomers), seed).side_a.to_pylist()
    rows = [{name: str(value or "") for name, value in row.items()} for row in reserve]
    complete = [row for row in rows if row["first"] and row["last"] and row["street"]]
    return MonthPeople(
        urls, pairs, {name: list(of.values()) for name, of in ids.items()}, Random(seed), complete
    )
