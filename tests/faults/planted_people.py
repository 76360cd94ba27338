"""Ten people with names that nobody else has, healthy rows and bad ones, to be searched for everywhere afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg2
from psycopg2 import sql as composed


@dataclass(frozen=True)
class PlantedPerson:
    """One unusual person, known to both custodians; ``repr`` is left readable, since nobody bears such a name."""

    given: str
    family: str
    street: str
    birth_date: str
    """As YYYY-MM-DD."""

    @property
    def email(self) -> str:
        return f"{self.given}.{self.family}@example.org".lower().replace(" ", "")


TEN_PEOPLE = (
    PlantedPerson("Xanthoquille", "Brzęczyszczakow", "17 Vlqwarthen Lane", "1951-02-03"),
    PlantedPerson("Vexlorinda", "O'Quorthwyn", "4 Zzyrgrove Close", "1962-11-30"),
    PlantedPerson("Þjóðbrandur", "Wyqvistadhur", "88 Qvarnstigen", "1949-07-14"),
    PlantedPerson("Zqynthiara", "van der Quexhove", "2 Ouxbridge Mews", "1978-12-01"),
    PlantedPerson("Jean-Quorvinian", "Mzhavanqadze", "31 Rqwenford Road", "1985-05-25"),
    PlantedPerson("Qorvessanda", "Ğülyaxşıqov", "60 Ixqaley Street", "1990-08-08"),
    PlantedPerson("Ouxmandreth", "Skwyzborough", "9 Pjqonderhill", "1933-01-19"),
    PlantedPerson("Fjolquevane", "Trzqynskiego", "12 Wyrmqvist Way", "2001-04-17"),
    PlantedPerson("Nyxolauriane", "Kvězdqálová", "5 Dzhqarrow Court", "1970-10-09"),
    PlantedPerson("Ilqwenhardtia", "Prygxworthen", "73 Uhlqeborn Drive", "1966-06-21"),
)

HOSPITAL_ID, PHARMACY_ID = "HXQ{:04d}", "P-XQ{:06d}"
Row = Mapping[str, str | None]


def hospital_rows() -> list[Row]:
    """All ten as the hospital's desk typed them, then rows that each break a rule, with names in them."""
    good = [_patient(HOSPITAL_ID.format(n), person) for n, person in enumerate(TEN_PEOPLE)]
    seventh, eighth, ninth, tenth = TEN_PEOPLE[6:]
    bad = [
        {**_patient("HXQ9001", seventh), "given_name": seventh.given * (1_000_000 // len(seventh.given))},
        {**_patient("HXQ9002", eighth), "sex": f"{eighth.given} {eighth.family}"},
        {**_patient("HXQ9003", ninth), "birth_date": "2999-01-01"},
        {**_patient("HXQ9004", tenth), "street": (tenth.street + " ") * 40_000},
        {**_patient("HXQ9005", tenth), "given_name": None, "birth_date": None},
        # A row without a source id that means anything: the id itself is a name.
        _patient(f"{seventh.given} {seventh.family}", seventh),
    ]
    return good + bad


def pharmacy_rows() -> list[Row]:
    """The same ten at the pharmacy's till, with a slip each, then bad rows; its birth date is any text."""
    good = [_customer(PHARMACY_ID.format(n), person) for n, person in enumerate(TEN_PEOPLE)]
    seventh, eighth, ninth, tenth = TEN_PEOPLE[6:]
    bad = [
        {**_customer("P-XQ900001", seventh), "dob": "30/02/1960"},
        {**_customer("P-XQ900002", eighth), "dob": f"born as {eighth.family}"},
        {**_customer("P-XQ900003", ninth), "surname": ninth.family * (1_000_000 // len(ninth.family))},
        {**_customer("P-XQ900004", tenth), "gender": tenth.given},
        {**_customer("P-XQ900005", tenth), "mail": tenth.email * 30_000},
        _customer(f"P {eighth.given}", eighth),
    ]
    return good + bad


# What each bad row must be quarantined for. The demo's sources only empty a birth date in the future or in no known
# format, and an id that is a name breaks no rule: those rows go on, and their values must not. NUL and half surrogates
# cannot be planted in PostgreSQL's text: tests/spec/test_field_rules.py shows them to the rules themselves.
REASONS = {
    "hospital": {
        "HXQ9001": ("given_name", "R-TOO-LONG"),
        "HXQ9002": ("sex", "R-SEX-CODE"),
        "HXQ9004": ("street", "R-TOO-LONG"),
        "HXQ9005": ("record", "R-TOO-LITTLE"),
    },
    "pharmacy": {
        "P-XQ900001": ("birth_date", "R-DATE-IMPOSSIBLE"),
        "P-XQ900003": ("family_name", "R-TOO-LONG"),
        "P-XQ900004": ("sex", "R-SEX-CODE"),
        "P-XQ900005": ("email", "R-TOO-LONG"),
    },
}


def _patient(number: str, person: PlantedPerson) -> dict[str, str | None]:
    return {
        "patient_id": number,
        "given_name": person.given,
        "middle_name": None,
        "family_name": person.family,
        "birth_date": person.birth_date,
        "sex": "F",
        "street": person.street,
        "city": "Exqwisham",
        "postcode": "90817",
        "phone": "(555) 010-7788",
        "email": person.email,
    }


def _customer(number: str, person: PlantedPerson) -> dict[str, str | None]:
    year, month, day = person.birth_date.split("-")
    return {
        "cust_no": number,
        "forename": person.given.upper(),
        "second_name": None,
        "surname": person.family.upper(),
        "dob": f"{day}/{month}/{year}",
        "gender": "2",
        "address_line": person.street.upper(),
        "town": "EXQWISHAM",
        "zip": "90817",
        "mobile": "555.010.7788",
        "mail": person.email.upper(),
    }


def plant_people(hospital_url: str, pharmacy_url: str) -> None:
    """Put them into both sources, with content of their own, by a role that may write."""
    with _cursor(hospital_url) as cursor:
        _insert(cursor, "patient", hospital_rows())
        stay = {"admitted": "2026-02-01", "discharged": "2026-02-05", "diagnosis_code": "I21.9"}
        _insert(cursor, "admission", [{"patient_id": r["patient_id"], **stay} for r in hospital_rows()])
        typed = TEN_PEOPLE[0].family  # content leaves readable: a name typed into a code must not
        _insert(cursor, "admission", [{"patient_id": HOSPITAL_ID.format(0), **stay, "diagnosis_code": typed}])
    with _cursor(pharmacy_url) as cursor:
        _insert(cursor, "customer", pharmacy_rows())
        item = {"dispensed": "2026-02-09", "atc_code": "B01AC06", "qty": "1"}
        _insert(cursor, "dispensing", [{"cust_no": r["cust_no"], **item} for r in pharmacy_rows()])
        typed = f"for {TEN_PEOPLE[1].given}"
        _insert(cursor, "dispensing", [{"cust_no": PHARMACY_ID.format(0), **item, "atc_code": typed}])


class _cursor:  # noqa: N801 - reads as a word in a with statement
    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)

    def __enter__(self) -> psycopg2.extensions.cursor:
        return self._connection.cursor()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._connection.commit()
        self._connection.close()


def _insert(cursor: psycopg2.extensions.cursor, table: str, rows: list[Row]) -> None:
    for row in rows:
        cursor.execute(
            composed.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                composed.Identifier(table),
                composed.SQL(", ").join(map(composed.Identifier, row)),
                composed.SQL(", ").join([composed.Placeholder()] * len(row)),
            ),
            list(row.values()),
        )


def planted_words() -> list[str]:
    """Every word of the ten that no honest text holds: names and streets, in pieces of six letters or more."""
    texts = [text for p in TEN_PEOPLE for text in (p.given, p.family, p.street, p.email.partition("@")[0])]
    pieces = {piece.lower(): piece for piece in reversed([*_long_pieces(texts)])}
    return sorted(piece for lower, piece in pieces.items() if lower != "street")


def _long_pieces(texts: list[str]) -> Iterator[str]:
    for text in texts:
        yield from (piece for piece in re.split(r"[\s.]+", text) if len(piece) >= 6)
        yield from (piece for piece in re.split(r"[\W\d_]+", text) if len(piece) >= 6)
