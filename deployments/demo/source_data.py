"""Load people, and fill the hospital's and the pharmacy's databases in the formats of their own.

A folder of people is laid out as this project's evaluation data: ``a.parquet`` (hospital) and ``b.parquet``
(pharmacy) with ``rid`` and text fields, ``truth.parquet`` with ``rid_a`` and ``rid_b``. An empty text is a
missing value. Values arrive in the sources as they are in the folder, odd ones included, but for letter case
and for the notation of dates, sex codes and telephone numbers, in which the two sources differ:

============  =============================================  ==========================================
field         hospital                                       pharmacy
============  =============================================  ==========================================
names, place  as typed: mostly Title Case, some UPPER/lower  UPPER
birth date    a date (an impossible one is left out)         text dd/mm/yyyy, 30/02/1980 as it is
sex           M, F                                           1, 2
telephone     (ddd) ddd-dddd                                 ddd.ddd.dddd
email         lower                                          UPPER
============  =============================================  ==========================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deployments.people_folder import check_ids, input_error, read_people_tables, text_column, truth_columns
from linkage_core.evaluation.seeded_draws import draw_order, draw_weighted, open_stream
from sql.custodian.source_creation import fill_tables

PEOPLE_FIELDS = ("first", "middle", "last", "dob", "sex", "street", "city", "zip", "phone", "email")
REQUIRED_FIELDS = ("rid", "first", "last", "dob")

_HOSPITAL_COLUMNS = (
    "given_name", "middle_name", "family_name", "birth_date", "sex", "street", "city", "postcode", "phone",
    "email",
)  # fmt: skip
_PHARMACY_COLUMNS = (
    "forename", "second_name", "surname", "dob", "gender", "address_line", "town", "zip", "mobile", "mail",
)  # fmt: skip
# How the hospital's desk types a row: 88% in title case, 7% in capitals, 5% without any
_TYPING_WEIGHTS = (88, 7, 5)
_TYPED_FIELDS = ("first", "middle", "last", "street", "city")


@dataclass(frozen=True)
class People:
    """Two sides and the truth about them; the repr shows no person.

    Attributes
    ----------
    hospital, pharmacy : pyarrow.Table
        ``rid`` and all of :data:`PEOPLE_FIELDS` as utf8, null for a missing value or a missing column.
    truth : pyarrow.Table
        ``rid_a``, ``rid_b``: the true pairs, strictly one-to-one.
    notes : tuple of str
        What was ignored or missing, for the user to read.
    """

    hospital: pa.Table = field(repr=False)
    pharmacy: pa.Table = field(repr=False)
    truth: pa.Table = field(repr=False)
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SourceFill:
    """What was put into a source.

    Attributes
    ----------
    source_ids : dict of str to str
        ``rid`` -> the source's own id; for the evaluation alone. Planted rows are not in it.
    people_rows, content_rows : int
        Rows of the two tables, planted ones included.
    impossible_dates : int
        Birth dates that the source's column type cannot hold and that were left out.
    """

    source_ids: dict[str, str] = field(repr=False)
    people_rows: int
    content_rows: int
    impossible_dates: int = 0


# -- loading ----------------------------------------------------------------------------------------------


def load_people(folder: Path) -> People:
    """Read a folder of people.

    Parameters
    ----------
    folder : Path
        With ``a.parquet``, ``b.parquet``, ``truth.parquet`` (see the module's text). Of the fields only
        :data:`REQUIRED_FIELDS` must be there; columns of other names are ignored, with a note.

    Raises
    ------
    NightlinkError
        ``E-INPUT`` for whatever is missing, unreadable, doubled, or named by the truth and unknown.
    """
    return people_from_tables(*read_people_tables(folder))


def people_from_tables(a: pa.Table, b: pa.Table, truth: pa.Table) -> People:
    """Check tables laid out like the files of :func:`load_people`, and bring them into one shape."""
    notes: list[str] = []
    hospital = _standard_side(a, "a", notes)
    pharmacy = _standard_side(b, "b", notes)
    pairs = _checked_truth(truth, hospital, pharmacy)
    return People(hospital, pharmacy, pairs, tuple(notes))


def _standard_side(table: pa.Table, side: str, notes: list[str]) -> pa.Table:
    missing = [name for name in REQUIRED_FIELDS if name not in table.column_names]
    if missing:
        raise input_error(f"no column {', '.join(missing)} on side {side}", ", ".join(REQUIRED_FIELDS))
    if table.num_rows == 0:
        raise input_error(f"no people on side {side}", "at least one")
    ignored = [name for name in table.column_names if name not in ("rid", *PEOPLE_FIELDS)]
    absent = [name for name in PEOPLE_FIELDS if name not in table.column_names]
    if ignored:
        notes.append(f"side {side}: columns ignored: {', '.join(ignored)}")
    if absent:
        notes.append(f"side {side}: fields without values: {', '.join(absent)}")
    columns = {name: text_column(table, name, side) for name in ("rid", *PEOPLE_FIELDS)}
    check_ids(columns["rid"], side)
    return pa.table(columns)


def _checked_truth(truth: pa.Table, hospital: pa.Table, pharmacy: pa.Table) -> pa.Table:
    pairs = truth_columns(truth)
    for name, side in (("rid_a", hospital), ("rid_b", pharmacy)):
        unknown = pc.sum(pc.invert(pc.is_in(pairs[name], side["rid"]))).as_py() or 0
        if unknown:
            raise input_error(f"{unknown} ids in {name} of the truth that are nobody's", "ids of the side")
        repeated = pairs.num_rows - pc.count_distinct(pairs[name]).as_py()
        if repeated:
            raise input_error(f"{repeated} repeated ids in {name} of the truth", "strictly one-to-one pairs")
    return pairs


# -- filling ----------------------------------------------------------------------------------------------


def fill_hospital(
    url: str,
    people: pa.Table,
    admissions: pa.Table,
    *,
    seed: int = 1,
    plant_rows: Sequence[Mapping[str, str | None]] = (),
) -> SourceFill:
    """Fill ``patient`` and ``admission``.

    Parameters
    ----------
    url : str
        The hospital's database (``create_source`` made it), as a role that may write.
    people : pyarrow.Table
        ``rid`` and any of :data:`PEOPLE_FIELDS`.
    admissions : pyarrow.Table
        ``person_id`` (a rid), ``admitted``, ``discharged``, ``diagnosis_code``.
    seed : int
        Of the ids' order and of how each row was typed.
    plant_rows : sequence of mappings
        Rows for ``patient``, by its own column names, written verbatim after all others.

    Raises
    ------
    NightlinkError
        ``E-INPUT`` for an admission of nobody; otherwise as ``fill_tables``.
    """
    people = _with_all_fields(people)
    typed = _typed_by_desk(people, seed)
    columns = {
        **{name: typed[name] for name in _TYPED_FIELDS},
        "dob": _map_distinct(people["dob"], _iso_date),
        "sex": _map_distinct(people["sex"], lambda text: _sex_code(text, "M", "F")),
        "zip": people["zip"],
        "phone": _map_distinct(people["phone"], lambda text: _telephone(text, "({}) {}-{}")),
        "email": people["email"],
    }
    ids = _source_ids(people.num_rows, "H{:07d}", seed, "hospital source ids")
    patients = _own_table("patient_id", ids, _HOSPITAL_COLUMNS, columns, plant_rows)
    of_person = dict(zip(people["rid"].to_pylist(), ids, strict=True))
    content = pa.table(
        {
            "patient_id": _ids_of(admissions["person_id"], of_person),
            **{name: admissions[name] for name in ("admitted", "discharged", "diagnosis_code")},
        }
    ).sort_by([("admitted", "ascending"), ("patient_id", "ascending")])
    fill_tables(url, {"patient": patients, "admission": content})
    left_out = columns["dob"].null_count - people["dob"].null_count
    return SourceFill(of_person, patients.num_rows, content.num_rows, left_out)


def fill_pharmacy(
    url: str,
    people: pa.Table,
    dispensings: pa.Table,
    *,
    seed: int = 1,
    plant_rows: Sequence[Mapping[str, str | None]] = (),
) -> SourceFill:
    """Fill ``customer`` and ``dispensing``; parameters and errors as :func:`fill_hospital`.

    ``dispensings`` has ``person_id`` (a rid), ``dispensed``, ``atc_code``, ``quantity``.
    """
    people = _with_all_fields(people)
    columns = {
        **{name: pc.utf8_upper(people[name]) for name in (*_TYPED_FIELDS, "zip", "email")},
        "dob": _map_distinct(people["dob"], _day_first_date),
        "sex": _map_distinct(people["sex"], lambda text: _sex_code(text, "1", "2")),
        "phone": _map_distinct(people["phone"], lambda text: _telephone(text, "{}.{}.{}")),
    }
    ids = _source_ids(people.num_rows, "P-{:08d}", seed, "pharmacy source ids")
    customers = _own_table("cust_no", ids, _PHARMACY_COLUMNS, columns, plant_rows)
    of_person = dict(zip(people["rid"].to_pylist(), ids, strict=True))
    content = pa.table(
        {
            "cust_no": _ids_of(dispensings["person_id"], of_person),
            "dispensed": dispensings["dispensed"],
            "atc_code": dispensings["atc_code"],
            "qty": dispensings["quantity"],
        }
    ).sort_by([("dispensed", "ascending"), ("cust_no", "ascending")])
    fill_tables(url, {"customer": customers, "dispensing": content})
    return SourceFill(of_person, customers.num_rows, content.num_rows)


def _with_all_fields(people: pa.Table) -> pa.Table:
    return pa.table({name: text_column(people, name, "to fill") for name in ("rid", *PEOPLE_FIELDS)})


def _source_ids(n: int, form: str, seed: int, purpose: str) -> list[str]:
    """Number the people in a random order: an id says nothing about its owner's place in the input."""
    order = draw_order(open_stream(seed, purpose), n)
    numbers = np.empty(n, dtype=np.int64)
    numbers[order] = np.arange(1, n + 1)
    return [form.format(number) for number in numbers]


def _own_table(
    id_name: str,
    ids: list[str],
    own_names: tuple[str, ...],
    columns: Mapping[str, pa.ChunkedArray],
    plant_rows: Sequence[Mapping[str, str | None]],
) -> pa.Table:
    """Rename the columns to the source's own, put the rows in the order of the ids, append planted ones."""
    renamed = {own: columns[name] for name, own in zip(PEOPLE_FIELDS, own_names, strict=True)}
    table = pa.table({id_name: pa.array(ids, pa.string()), **renamed}).sort_by(id_name)
    if not plant_rows:
        return table
    unknown = sorted({name for row in plant_rows for name in row} - set(table.column_names))
    if unknown or any(not row.get(id_name) for row in plant_rows):
        raise input_error(
            f"planted rows with unknown columns ({', '.join(unknown) or 'none'}) or without {id_name}",
            f"columns of the source's own table, and {id_name} in each row",
        )
    return pa.concat_tables([table, pa.Table.from_pylist([dict(row) for row in plant_rows], table.schema)])


def _ids_of(person_ids: pa.ChunkedArray, of_person: Mapping[str, str]) -> pa.Array:
    places = pc.index_in(person_ids.cast(pa.string()), pa.array(of_person.keys(), pa.string()))
    if places.null_count:
        raise input_error(f"{places.null_count} rows of content of nobody", "rids of the side in person_id")
    return pa.array(of_person.values(), pa.string()).take(places.combine_chunks())


# -- the sources' notations -------------------------------------------------------------------------------


def _typed_by_desk(people: pa.Table, seed: int) -> dict[str, pa.ChunkedArray]:
    """Give each row the letter case in which somebody typed it; nothing but the case changes."""
    hand = pa.array(draw_weighted(open_stream(seed, "hospital typing"), _TYPING_WEIGHTS, people.num_rows))
    return {
        name: pc.choose(
            hand, pc.utf8_title(people[name]), pc.utf8_upper(people[name]), pc.utf8_lower(people[name])
        )
        for name in _TYPED_FIELDS
    }


def _map_distinct(column: pa.ChunkedArray, change: Callable[[str], str | None]) -> pa.Array:
    encoded = column.combine_chunks().dictionary_encode()
    changed = pa.array([change(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return changed.take(encoded.indices)


def _iso_date(text: str) -> str | None:
    """19800229 -> 1980-02-29; None for what a date column cannot hold."""
    if not re.fullmatch(r"[0-9]{8}", text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        return None


def _day_first_date(text: str) -> str:
    """19800230 -> 30/02/1980, also 198O0230 -> 30/02/198O; a text of another length stays as it is."""
    return f"{text[6:]}/{text[4:6]}/{text[:4]}" if len(text) == 8 else text


def _sex_code(text: str, male: str, female: str) -> str:
    return {"m": male, "male": male, "f": female, "female": female}.get(text.lower(), text)


def _telephone(text: str, form: str) -> str:
    """Write a ten-digit number in the source's notation; any other stays as it is."""
    digits = re.sub(r"[ ().-]", "", text).removeprefix("+1")
    if not re.fullmatch(r"[0-9]{10}", digits):
        return text
    return form.format(digits[:3], digits[3:6], digits[6:])
