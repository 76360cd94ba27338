"""Synthetic people in two registers, with the truth: who is who.

A population lives in households, with names at their real frequencies for sex and decade of birth. The first
register (side a) sees it before, the second (side b) after some life has happened: marriages, moves, new
telephones. Each register then writes its records down with mistakes of its own. The overlap is partial and
strictly one-to-one.

The default rates were set so that pairs disagree as often as in the set ``usgen20k_min`` of the project's
evaluation data; README files there and ``tables/README.md`` here say where the frequencies come from.

Nothing here is a real person's: telephone numbers have the exchange 555, and email addresses the domains that
RFC 2606 reserves for examples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from linkage_core.evaluation.data_corruption import (
    Edit,
    TextArray,
    blank_some,
    corrupt_some,
    flip_sex,
    mishear,
    miskey_digit,
    misread,
    mistype,
    replace_some,
    round_date,
    swap_day_month,
    swap_some,
)
from linkage_core.evaluation.frequency_tables import (
    FIRST_DECADE,
    LAST_DECADE,
    FrequencyTables,
    load_frequency_tables,
)
from linkage_core.evaluation.seeded_draws import (
    IntArray,
    draw_order,
    draw_positions,
    draw_weighted,
    open_stream,
    pick_weighted,
)

Rate = Annotated[float, Field(ge=0, le=1)]

FIELDS = ("first", "middle", "last", "dob", "sex", "street", "city", "zip", "phone", "email")
"""The columns of a side after ``rid``, in their order."""

HEAD, PARTNER, CHILD = 0, 1, 2
AGE_BANDS = ((20, 10, 14), (30, 10, 18), (40, 10, 17), (50, 10, 18), (60, 10, 17), (70, 10, 11), (80, 15, 5))
"""Ages of heads of household: first age, years, weight."""
DAYS_PER_YEAR = 365.25
YOUNGEST_PARENT, OLDEST_PARENT, YOUNGEST_PARTNER = 18, 43, 18

STREET_SUFFIXES = (("avenue", "ave"), ("street", "st"), ("road", "rd"), ("drive", "dr"), ("lane", "ln"),
                   ("court", "ct"))  # fmt: skip
AREA_CODES = (
    "614",
    "380",
    "740",
    "220",
    "937",
    "326",
    "513",
    "283",
    "330",
    "234",
    "419",
    "567",
    "216",
    "440",
)
EMAIL_DOMAINS = ("example.com", "example.net", "example.org", "mail.example.com", "post.example.net")


class MissingRates(BaseModel):
    """Share of empty values in each column of side a."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Rate = 0.003
    middle: Rate = 0.1
    last: Rate = 0.0016
    dob: Rate = 0.0095
    sex: Rate = 0.0155
    street: Rate = 0.01
    city: Rate = 0.01
    zip: Rate = 0.0225
    phone: Rate = 0.08
    email: Rate = 0.2


class PeopleParameters(BaseModel):
    """How many people, in what families, and how often what goes wrong; shares of 1 unless said otherwise.

    Rates of records (nicknames, mistakes, missing values) are those of side a; side b has
    ``side_b_factor`` times as much, at most 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    people_per_side: int = Field(default=20_000, ge=1, description="records on each side")
    overlap_share: Rate = Field(default=0.6, description="records of a side whose person is on both")
    as_of_year: int = Field(default=2025, ge=1950, le=2100, description="ages count back from its 1 January")
    postcodes: int = Field(default=3, ge=1, description="the catchment: so many ZIP codes, at most all known")

    household_size_weights: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(28, 35, 15, 13, 6, 3), min_length=1, description="households of 1, 2, ... people"
    )
    couple_rate: Rate = Field(default=0.72, description="households of two and more with a couple")
    kept_name_rate: Rate = Field(default=0.15, description="partners with a surname of their own")
    twins_rate: Rate = Field(default=0.1, description="younger siblings born on the elder's day")
    junior_rate: Rate = Field(default=0.06, description="eldest sons of a male head who bear his names")

    marriage_rename_rate: Rate = Field(
        default=0.11, description="women of 20-59 whose surname changes between the records"
    )
    hyphenated_rate: Rate = Field(default=0.25, description="of those, the new surname joined to the old")
    move_rate: Rate = Field(default=0.17, description="households that move between the records")
    new_phone_rate: Rate = Field(default=0.12, description="people with a new telephone number")
    new_email_rate: Rate = Field(default=0.15, description="people with a new email address")
    landline_rate: Rate = Field(default=0.25, description="people who give their household's number")

    side_b_factor: float = Field(
        default=2.0, ge=0, allow_inf_nan=False, description="side b's record rates over side a's"
    )
    nickname_rate: Rate = Field(default=0.038, description="given name replaced by one of its nicknames")
    goes_by_middle_rate: Rate = Field(default=0.009, description="middle name given as the first")
    middle_written_out_rate: Rate = Field(default=0.02, description="whole middle name, not its initial")
    names_swapped_rate: Rate = Field(default=0.003, description="given name and surname exchanged")
    typo_rate: Rate = Field(default=0.0145, description="slips of the finger, per text field")
    phonetic_rate: Rate = Field(default=0.005, description="misheard names, cities and streets")
    ocr_rate: Rate = Field(default=0.006, description="misread names, cities and streets")
    date_swapped_rate: Rate = Field(default=0.0085, description="day and month exchanged, if possible")
    date_miskeyed_rate: Rate = Field(default=0.0122, description="one wrong digit in the date of birth")
    date_rounded_rate: Rate = Field(default=0.0055, description="day, or day and month, set to 01")
    sex_flipped_rate: Rate = Field(default=0.0017, description="the other sex ticked")
    street_abbreviated_rates: tuple[Rate, Rate] = Field(
        default=(0.3, 0.7), description="street suffixes abbreviated, on side a and on side b"
    )
    missing_rates: MissingRates = Field(default=MissingRates(), description="empty values, by column")

    @field_validator("household_size_weights")
    @classmethod
    def _some_household_exists(cls, weights: tuple[int, ...]) -> tuple[int, ...]:
        if sum(weights) == 0:
            raise ValueError("at least one household size needs a weight above 0")
        return weights


@dataclass(frozen=True)
class SyntheticPeople:
    """Two registers and the truth.

    Attributes
    ----------
    side_a, side_b : pyarrow.Table
        ``rid`` and :data:`FIELDS`, all strings, lower case, empty for missing; ``dob`` is YYYYMMDD, ``sex``
        f or m. Rows are in random order and numbered afterwards, so that a rid tells nothing.
    truth : pyarrow.Table
        ``rid_a`` and ``rid_b`` of the people on both sides, in the order of ``rid_a``.
    """

    side_a: pa.Table
    side_b: pa.Table
    truth: pa.Table


@dataclass(frozen=True)
class _Person:
    """The (n,) columns of a population that never change: one row a person."""

    household: IntArray
    nth_in_household: IntArray
    birth_day: IntArray
    sex: TextArray
    first: TextArray
    middle: TextArray


@dataclass(frozen=True)
class _State:
    """The (n,) columns of a population at one time, and its homes by household."""

    last: TextArray
    number: IntArray
    apartment: IntArray
    street: IntArray
    place: IntArray
    phone: TextArray
    email: TextArray


def generate_people(parameters: PeopleParameters, seed: int) -> SyntheticPeople:
    """Generate two registers of people; the same parameters and seed give the same bytes.

    Raises
    ------
    NightlinkError
        ``E-INPUT`` when the seed is negative.
    """
    tables = load_frequency_tables()
    n_side = parameters.people_per_side
    n_shared = round(n_side * parameters.overlap_share)
    n_people = 2 * n_side - n_shared
    people = _draw_people(parameters, tables, n_people, seed)
    before = _draw_state(parameters, tables, people, seed)
    after = _let_time_pass(parameters, tables, people, before, seed)

    chosen = draw_order(open_stream(seed, "who is where"), n_people)
    members_a = chosen[:n_side]
    members_b = np.concatenate([chosen[:n_shared], chosen[n_side:]])
    order_a = draw_order(open_stream(seed, "order a"), n_side)
    order_b = draw_order(open_stream(seed, "order b"), n_side)
    records_a = _write_records(parameters, tables, people, before, members_a[order_a], "a", seed)
    records_b = _write_records(parameters, tables, people, after, members_b[order_b], "b", seed)
    return SyntheticPeople(records_a, records_b, _truth_table(order_a, order_b, n_shared))


def people_digest(people: SyntheticPeople) -> str:
    """Return the SHA-256, in hex, of all three tables' names, values and order, whatever the file format."""
    digest = hashlib.sha256()
    for table in (people.side_a, people.side_b, people.truth):
        for name in table.column_names:
            digest.update("\x1e".join([name, *table[name].to_pylist()]).encode("utf-8") + b"\x1d")
    return digest.hexdigest()


def _truth_table(order_a: IntArray, order_b: IntArray, n_shared: int) -> pa.Table:
    row_of_a, row_of_b = np.argsort(order_a)[:n_shared], np.argsort(order_b)[:n_shared]
    by_a = np.argsort(row_of_a)
    return pa.table(
        {"rid_a": _record_ids("a", row_of_a[by_a]), "rid_b": _record_ids("b", row_of_b[by_a])},
    )


def _record_ids(side: str, rows: IntArray) -> pa.Array:
    return pa.array([f"{side}{row:08d}" for row in rows.tolist()], pa.string())


# The population.


def _draw_people(parameters: PeopleParameters, tables: FrequencyTables, n: int, seed: int) -> _Person:
    household, nth = _draw_households(parameters, n, seed)
    role = _draw_roles(parameters, household, nth, seed)
    head = np.flatnonzero(nth == 0)[household]  # each person's head of household, by row
    age_days = _draw_ages(parameters, role, head, nth, household, seed)
    sex = _draw_sexes(role, head, seed)
    first_of_year = np.datetime64(f"{parameters.as_of_year}-01-01", "D").astype(np.int64)
    birth_day = first_of_year - age_days
    first = _draw_given_names(tables, sex, birth_day, seed, "first names")
    middle = _draw_given_names(tables, sex, birth_day, seed, "middle names")
    eldest_son = (role == CHILD) & (role[np.maximum(np.arange(n) - 1, 0)] != CHILD)
    fathers_son = eldest_son & (sex == "m") & (sex[head] == "m")
    junior = fathers_son & (open_stream(seed, "juniors").random(n) < parameters.junior_rate)
    return _Person(
        household=household,
        nth_in_household=nth,
        birth_day=birth_day,
        sex=sex,
        first=np.where(junior, first[head], first),
        middle=np.where(junior, middle[head], middle),
    )


def _draw_households(parameters: PeopleParameters, n: int, seed: int) -> tuple[IntArray, IntArray]:
    """Put ``n`` people into households; return each one's household and number in it, from 0."""
    sizes = draw_weighted(open_stream(seed, "households"), parameters.household_size_weights, n) + 1
    household = np.repeat(np.arange(n), sizes)[:n]
    starts = np.cumsum(sizes) - sizes
    return household, np.arange(n) - starts[household]


def _draw_roles(parameters: PeopleParameters, household: IntArray, nth: IntArray, seed: int) -> IntArray:
    is_couple = open_stream(seed, "couples").random(household[-1] + 1) < parameters.couple_rate
    role = np.where(nth == 0, HEAD, CHILD)
    role[(nth == 1) & is_couple[household]] = PARTNER
    return role


def _draw_ages(
    parameters: PeopleParameters,
    role: IntArray,
    head: IntArray,
    nth: IntArray,
    household: IntArray,
    seed: int,
) -> IntArray:
    """Draw ages in days: heads by band, partners within eight years of them, children a generation below."""
    stream = open_stream(seed, "ages")
    first_ages, spans, weights = (np.array(column) for column in zip(*AGE_BANDS, strict=True))
    n = len(role)
    band = draw_weighted(stream, weights, n)
    years = first_ages[band] + stream.random(n) * spans[band]
    apart = (stream.random(n) - stream.random(n)) * 8
    years = np.where(role == PARTNER, np.maximum(years[head] + apart, YOUNGEST_PARTNER), years)
    oldest = years[head] - YOUNGEST_PARENT
    youngest = np.maximum(years[head] - OLDEST_PARENT, 0)
    years = np.where(role == CHILD, youngest + stream.random(n) * (oldest - youngest), years)
    days = (years * DAYS_PER_YEAR).astype(np.int64) + 1
    twin = (stream.random(n) < parameters.twins_rate) & (role == CHILD)
    twin[1:] &= role[:-1] == CHILD
    twin[0] = False
    # Triplets need the day of the first: each twin takes the nearest earlier sibling who is none.
    elder = np.maximum.accumulate(np.where(twin, 0, np.arange(n)))
    ages: IntArray = days[elder]
    return ages


def _draw_sexes(role: IntArray, head: IntArray, seed: int) -> TextArray:
    stream = open_stream(seed, "sexes")
    female = stream.random(len(role)) < 0.5
    same = stream.random(len(role)) < 0.03
    female = np.where(role == PARTNER, female[head] == same, female)
    return np.where(female, "f", "m").astype(object)


def _draw_given_names(
    tables: FrequencyTables, sex: TextArray, birth_day: IntArray, seed: int, purpose: str
) -> TextArray:
    """Draw names by sex and decade of birth; who was born outside the tables has the nearest decade's."""
    uniforms = open_stream(seed, purpose).random(len(sex))
    decade = birth_day.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    column = (np.clip(decade, FIRST_DECADE, LAST_DECADE + 9) - FIRST_DECADE) // 10
    names = np.empty(len(sex), dtype=object)
    for letter in ("f", "m"):
        of_sex = tables.given_name_sex == letter
        candidates, births = tables.given_names[of_sex], tables.given_name_births[of_sex]
        for position in range(births.shape[1]):
            rows = np.flatnonzero((sex == letter) & (column == position))
            names[rows] = candidates[pick_weighted(uniforms[rows], births[:, position])]
    return names


# Its state before and after.


def _draw_state(parameters: PeopleParameters, tables: FrequencyTables, people: _Person, seed: int) -> _State:
    n = len(people.sex)
    stream = open_stream(seed, "surnames")
    surnames = tables.surnames[draw_weighted(stream, tables.surname_people, n)]
    head = np.flatnonzero(people.nth_in_household == 0)[people.household]
    kept = (people.nth_in_household == 1) & (stream.random(n) < parameters.kept_name_rate)
    number, apartment, street, place = _draw_homes(parameters, tables, people.household, seed, "homes")
    phone = _draw_phones(n, seed, "phones")
    landline = open_stream(seed, "landlines").random(n) < parameters.landline_rate
    last = np.where(kept, surnames, surnames[head])
    return _State(
        last=last,
        number=number,
        apartment=apartment,
        street=street,
        place=place,
        phone=np.where(landline, phone[head], phone),
        email=_draw_emails(people, last, seed, "emails"),
    )


def _let_time_pass(
    parameters: PeopleParameters, tables: FrequencyTables, people: _Person, before: _State, seed: int
) -> _State:
    """Marry, move and change numbers; everything else stays as it was."""
    n = len(people.sex)
    last = _marry(parameters, tables, people, before.last, seed)
    moved = (open_stream(seed, "moves").random(n) < parameters.move_rate)[people.household]
    homes = _draw_homes(parameters, tables, people.household, seed, "new homes")
    number, apartment, street, place = (
        np.where(moved, new, old)
        for new, old in zip(
            homes, (before.number, before.apartment, before.street, before.place), strict=True
        )
    )
    new_phone = open_stream(seed, "phone changes").random(n) < parameters.new_phone_rate
    new_email = open_stream(seed, "email changes").random(n) < parameters.new_email_rate
    return _State(
        last=last,
        number=number,
        apartment=apartment,
        street=street,
        place=place,
        phone=np.where(new_phone, _draw_phones(n, seed, "new phones"), before.phone),
        email=np.where(new_email, _draw_emails(people, last, seed, "new emails"), before.email),
    )


def _marry(
    parameters: PeopleParameters, tables: FrequencyTables, people: _Person, last: TextArray, seed: int
) -> TextArray:
    n = len(last)
    stream = open_stream(seed, "marriages")
    today = np.datetime64(f"{parameters.as_of_year}-01-01", "D").astype(np.int64)
    age = (today - people.birth_day) / DAYS_PER_YEAR
    bride = (people.sex == "f") & (age >= 20) & (age < 60)
    renamed = bride & (stream.random(n) < parameters.marriage_rename_rate)
    hyphenated = stream.random(n) < parameters.hyphenated_rate
    married = tables.surnames[draw_weighted(stream, tables.surname_people, n)]
    return np.where(renamed, np.where(hyphenated, last + "-" + married, married), last)


def _draw_homes(
    parameters: PeopleParameters, tables: FrequencyTables, household: IntArray, seed: int, purpose: str
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Draw a home for each household and give it to its members.

    Returns four (n,) arrays: house number, apartment (0 for none), street (name times suffix), place.
    """
    # The catchment is the same for old and new homes: it has a stream of its own.
    catchment = draw_order(open_stream(seed, "catchment"), len(tables.postcodes))[: parameters.postcodes]
    stream = open_stream(seed, purpose)
    n = household[-1] + 1
    low = stream.random(n)
    number = 1 + (low * low * low * 9_999).astype(np.int64)  # products, since a power may round differently
    apartment = np.where(stream.random(n) < 0.22, 1 + draw_positions(stream, 400, n), 0)
    street = draw_positions(stream, len(tables.street_names) * len(STREET_SUFFIXES), n)
    place = catchment[draw_weighted(stream, tables.postcode_people[catchment], n)]
    return number[household], apartment[household], street[household], place[household]


def _draw_phones(n: int, seed: int, purpose: str) -> TextArray:
    stream = open_stream(seed, purpose)
    areas, lines = draw_positions(stream, len(AREA_CODES), n), draw_positions(stream, 10_000, n)
    pairs = zip(areas.tolist(), lines.tolist(), strict=True)
    return np.array([f"{AREA_CODES[area]}555{line:04d}" for area, line in pairs], dtype=object)


def _draw_emails(people: _Person, last: TextArray, seed: int, purpose: str) -> TextArray:
    n = len(last)
    stream = open_stream(seed, purpose)
    pattern, digits = draw_positions(stream, 3, n).tolist(), draw_positions(stream, 100, n).tolist()
    domain = [EMAIL_DOMAINS[position] for position in draw_positions(stream, len(EMAIL_DOMAINS), n)]
    rows = zip(people.first, last, pattern, digits, domain, strict=True)
    return np.array([_email(*row) for row in rows], dtype=object)


def _email(first: str, last: str, pattern: int, digits: int, domain: str) -> str:
    if pattern == 0:
        return f"{first}.{last}@{domain}"
    if pattern == 1:
        return f"{first[0]}{last}{digits:02d}@{domain}"
    return f"{first}{digits:02d}@{domain}"


# What a register writes down.


def _write_records(
    parameters: PeopleParameters,
    tables: FrequencyTables,
    people: _Person,
    state: _State,
    members: IntArray,
    side: str,
    seed: int,
) -> pa.Table:
    factor = 1.0 if side == "a" else parameters.side_b_factor
    rates = {
        name: min(1.0, rate * factor)
        for name, rate in parameters.model_dump(include=set(_RECORD_RATES)).items()
    }

    def stream(purpose: str) -> np.random.Generator:
        return open_stream(seed, f"{side}: {purpose}")

    columns = _clean_columns(parameters, tables, people, state, members, side, stream("street style"))
    columns |= _written_names(rates, tables, people, state, members, side, seed)
    columns["dob"] = _with_mistakes(columns["dob"], _DATE_MISTAKES, rates, stream("dob"))
    columns["sex"] = corrupt_some(columns["sex"], rates["sex_flipped_rate"], flip_sex, stream("sex"))
    for name in ("first", "last", "street", "city"):
        columns[name] = _with_mistakes(columns[name], _TEXT_MISTAKES, rates, stream(name))
    for name in ("zip", "phone", "email"):
        columns[name] = _with_mistakes(columns[name], _KEYED_MISTAKES, rates, stream(name))
    for name, rate in parameters.missing_rates:
        columns[name] = blank_some(columns[name], min(1.0, rate * factor), stream(f"missing {name}"))
    written = {name: pa.array(columns[name], pa.string()) for name in FIELDS}
    return pa.table({"rid": _record_ids(side, np.arange(len(members))), **written})


_TEXT_MISTAKES: tuple[tuple[str, Edit], ...] = (
    ("typo_rate", mistype),
    ("phonetic_rate", mishear),
    ("ocr_rate", misread),
)
_KEYED_MISTAKES: tuple[tuple[str, Edit], ...] = (("typo_rate", mistype),)
_DATE_MISTAKES: tuple[tuple[str, Edit], ...] = (
    ("date_swapped_rate", swap_day_month),
    ("date_miskeyed_rate", miskey_digit),
    ("date_rounded_rate", round_date),
)
_RECORD_RATES = (
    "nickname_rate",
    "goes_by_middle_rate",
    "middle_written_out_rate",
    "names_swapped_rate",
    "typo_rate",
    "phonetic_rate",
    "ocr_rate",
    "date_swapped_rate",
    "date_miskeyed_rate",
    "date_rounded_rate",
    "sex_flipped_rate",
)
"""The rates that side_b_factor multiplies, beside those of missing values."""


def _with_mistakes(
    values: TextArray,
    mistakes: tuple[tuple[str, Edit], ...],
    rates: Mapping[str, float],
    stream: np.random.Generator,
) -> TextArray:
    for rate, edit in mistakes:
        values = corrupt_some(values, rates[rate], edit, stream)
    return values


def _clean_columns(
    parameters: PeopleParameters,
    tables: FrequencyTables,
    people: _Person,
    state: _State,
    members: IntArray,
    side: str,
    stream: np.random.Generator,
) -> dict[str, TextArray]:
    """Write everything but the names without a mistake."""
    abbreviated = stream.random(len(members)) < parameters.street_abbreviated_rates[side == "b"]
    dates = np.datetime_as_string(people.birth_day[members].astype("datetime64[D]"))
    return {
        "dob": np.array([date.replace("-", "") for date in dates.tolist()], dtype=object),
        "sex": people.sex[members],
        "street": _street_lines(tables, state, members, abbreviated),
        "city": tables.cities[state.place[members]],
        "zip": tables.postcodes[state.place[members]],
        "phone": state.phone[members],
        "email": state.email[members],
    }


def _street_lines(
    tables: FrequencyTables, state: _State, members: IntArray, abbreviated: npt.NDArray[np.bool_]
) -> TextArray:
    names, suffixes = np.divmod(state.street[members], len(STREET_SUFFIXES))
    rows = zip(
        state.number[members].tolist(),
        tables.street_names[names],
        suffixes.tolist(),
        abbreviated.tolist(),
        state.apartment[members].tolist(),
        strict=True,
    )
    return np.array(
        [
            f"{number} {name} {STREET_SUFFIXES[suffix][short]}" + (f" apt {apartment}" if apartment else "")
            for number, name, suffix, short, apartment in rows
        ],
        dtype=object,
    )


def _written_names(
    rates: Mapping[str, float],
    tables: FrequencyTables,
    people: _Person,
    state: _State,
    members: IntArray,
    side: str,
    seed: int,
) -> dict[str, TextArray]:
    """Write the names as their bearers gave them, or a clerk took them."""
    stream = open_stream(seed, f"{side}: names")
    n = len(members)
    given, second = people.first[members], people.middle[members]
    by_middle = stream.random(n) < rates["goes_by_middle_rate"]
    written_out = stream.random(n) < rates["middle_written_out_rate"]
    middle = np.where(by_middle, given, second)
    middle = np.where(written_out, middle, np.array([name[0] for name in middle], dtype=object))
    first = np.where(by_middle, second, given)
    first = replace_some(first, rates["nickname_rate"], tables.nicknames, stream)
    first, last = swap_some(first, state.last[members], rates["names_swapped_rate"], stream)
    return {"first": first, "middle": middle, "last": last}
