"""People who do not exist, for estimates that nobody can tune: null people and canary pairs. Zone: custodian.

A *null person* is at one custodian only and has nobody to be linked to: each link of one is wrong. It is put together
from the custodian's own records (who, which family name and household, which day of birth), so that its values are as
common, and as often missing, as they are there; it shares family name and household with one of them as often as the
custodian's records do with each other. A *canary pair* is one person at both custodians, with errors of its own at
each: the share that is linked is a recall. Both are derived from the linkage key and its epoch, so that the linkage
unit, which has no key, knows neither who they are nor what they hold; which pseudonyms are theirs is told to the
warehouse alone. They stay from night to night: people who are others each night would be all that is new in a delivery
of changes. A record that comes or goes changes few null people, since each takes the records next to places of its own.

Draws are SHAKE-256 (FIPS 202, doi:10.6028/NIST.FIPS.202), so that both custodians make the same pairs, whatever their
version of any library.
"""

from __future__ import annotations

import calendar
import csv
import gzip
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.custodian.distinct_values import value_hashes
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import CANONICAL_FORMAT
from linkage_core.custodian.text_columns import SOURCE_ID
from linkage_core.protocol.derived_keys import derive_key, framed_context
from linkage_core.protocol.evidence_spec import FAMILY, GIVEN, SEX
from linkage_core.protocol.linkage_protocol import LinkageProtocol

TABLE = "sealed_people_us_1.csv.gz"
"""What canaries are drawn from; a released file never changes (``tables/README.md``)."""
FIRST_BIRTH, LAST_BIRTH = date(1935, 1, 1), date(2012, 12, 31)
SUFFIXES = ("st", "rd", "ave", "dr", "ln")
MISTYPED_NAME = 0.04
"""Of each side's given names and family names; an edit of one letter."""
RENAMED = 0.01
MISKEYED_BIRTH = 0.01
MOVED = 0.05
OTHER_CONTACT = 0.15
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

Texts = list[str | None]
Columns = dict[str, Texts]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SealedPeople:
    """Normalised records of people who do not exist; ``repr`` shows none.

    Attributes
    ----------
    records : RecordBatch
        ``source_id`` and the protocol's fields.
    canaries : sequence of int or None
        Of each record the number of its pair, which is the same at both custodians; None for a null person.
    """

    records: pa.RecordBatch = field(repr=False)
    canaries: Sequence[int | None] = field(repr=False)


@dataclass(frozen=True)
class OwnRecords:
    """Records that null people are made of, each at a place of its own.

    Attributes
    ----------
    records : RecordBatch
        Normalised.
    places : ndarray of float64, shape (n,)
        In [0, 1), ascending, and a record's own whatever others there are: by its pseudonym, say.
    """

    records: pa.RecordBatch = field(repr=False)
    places: Floats = field(repr=False)

    def next_to(self, draws: Floats, among: npt.NDArray[np.intp] | None = None) -> npt.NDArray[np.intp]:
        """The rows at or behind each draw, around the circle; ``among`` these rows, by default all."""
        rows = np.arange(len(self.places)) if among is None else among
        behind = np.searchsorted(self.places[rows], draws) % max(len(rows), 1)
        return rows[behind] if len(rows) else np.zeros(0, np.intp)


@dataclass(frozen=True)
class Draws:
    """Uniform draws in [0, 1) under names: a name gives the same draws everywhere."""

    key: bytes = field(repr=False)

    def uniform(self, name: str, count: int) -> Floats:
        """float64, shape (count,)."""
        stream = hashlib.shake_256(self.key + framed_context((name,))).digest(8 * count)
        return np.asarray((np.frombuffer(stream, "<u8") >> np.uint64(11)) * 2.0**-53, np.float64)

    def below(self, name: str, count: int, limit: int) -> list[int]:
        """Whole numbers from 0 to limit - 1."""
        return [int(u * limit) for u in self.uniform(name, count)]

    def choose(self, name: str, count: int, values: Sequence[str], weights: Sequence[int]) -> list[str]:
        """Values, each as often as its weight says."""
        edges = np.cumsum(np.asarray(weights, np.int64))
        places = np.searchsorted(edges, self.uniform(name, count) * edges[-1], side="right")
        return [values[place] for place in places]


def seal_people(
    own: OwnRecords,
    protocol: LinkageProtocol,
    linkage_key: bytes,
    *,
    custodian: str,
    null_people: int,
    canary_pairs: int,
    household_share: float,
) -> SealedPeople:
    """The custodian's null people and its half of the canary pairs.

    Parameters
    ----------
    own : OwnRecords
        Some thousand of the custodian's own records, at random.
    null_people, canary_pairs : int
        How many. A pair counts where both custodians make it, so that the smaller number holds.
    household_share : float
        Of all the custodian's records, how many share family name and household (:func:`household_share`).
    """

    def draws(purpose: str) -> Draws:
        context = (protocol.project, protocol.key_epoch, "sealed-people", purpose)
        return Draws(derive_key(linkage_key, context))

    nulls = null_columns(own, protocol, null_people, household_share, draws(f"null {custodian}"))
    canaries = canary_columns(protocol, canary_pairs, draws("canary"))
    spoiled = spoil(canaries, draws(f"errors {custodian}"), _missing_shares(own.records))
    made = len(nulls[GIVEN])
    ids = draws(f"ids {custodian}")
    names = [f"sealed {int(u * 2**53):014x}" for u in ids.uniform("id", made + canary_pairs)]
    columns = {name: nulls[name] + spoiled[name] for name in protocol.field_names}
    texts = {name: pa.array(values, pa.utf8()) for name, values in {SOURCE_ID: names, **columns}.items()}
    made_up = normalise_batch(pa.RecordBatch.from_pydict(texts), protocol, CANONICAL_FORMAT).records
    return SealedPeople(made_up, [None] * made + list(range(canary_pairs)))


def null_columns(
    own: OwnRecords, protocol: LinkageProtocol, count: int, household_share: float, draws: Draws
) -> Columns:
    """People who are nobody: given names, sex and year of birth of one record, the day of birth of another, the
    family name of a third, and its household too as often as ``household_share`` says, else that of a fourth.

    None are made from fewer than three records. What the first record lacks, the person lacks.
    """
    rows = own.records.num_rows if own.records.num_rows > 2 else 0
    count = count if rows else 0
    who = own.next_to(draws.uniform("who", count))
    family = own.next_to(draws.uniform("family", count))
    family = np.where(family == who, (family + 1) % max(rows, 1), family)
    together = draws.uniform("together", count) < household_share
    house = np.where(together, family, own.next_to(draws.uniform("house", count)))
    columns: Columns = {}
    for spec in protocol.fields:
        values = own.records.column(spec.name)
        personal = spec.kind in ("name", "sex", "email", "date") and spec.name != FAMILY
        source = who if personal else family if spec.name == FAMILY else house
        columns[spec.name] = values.take(pa.array(source)).to_pylist()
        if spec.kind == "date" and count:
            known = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
            days = values.take(pa.array(own.next_to(draws.uniform("day", count), known))).to_pylist()
            columns[spec.name] = [_joined_date(*dates) for dates in zip_longest(columns[spec.name], days)]
    return columns


def household_share(batches: Iterable[pa.RecordBatch], protocol: LinkageProtocol) -> float:
    """Of all records with a family name, the share that has it and the whole household in common with another one.

    A household is what the protocol has of texts, postcodes and telephone numbers. Memory: 8 bytes a record.
    """
    places = [spec.name for spec in protocol.fields if spec.kind in ("text", "postcode", "phone")]
    hashes = [np.zeros(0, np.uint64)]
    for batch in batches:
        known = batch.filter(batch.column(FAMILY).is_valid())
        parts = [known.column(name).cast(pa.utf8()).fill_null("") for name in (FAMILY, *places)]
        hashes.append(value_hashes(pc.binary_join_element_wise(*parts, "|")))
    counts = np.unique(np.concatenate(hashes), return_counts=True)[1]
    return float(counts[counts > 1].sum() / max(counts.sum(), 1))


def canary_columns(protocol: LinkageProtocol, count: int, draws: Draws) -> Columns:
    """The people of the canary pairs, without errors; a field of another meaning than these has no values."""
    table = load_values()
    sexes = ["f" if u < 0.5 else "m" for u in draws.uniform("sex", count)]
    by_sex = {sex: draws.choose(f"given {sex}", count, *table[f"given_name {sex}"]) for sex in "fm"}
    given = [by_sex[sex][k] for k, sex in enumerate(sexes)]
    family = draws.choose("family", count, *table[FAMILY])
    days = draws.below("birth", count, (LAST_BIRTH - FIRST_BIRTH).days + 1)
    streets, places = _addresses(draws, count, ""), draws.choose("place", count, *table["postcode"])
    known: dict[str, Texts] = {
        GIVEN: [*given],
        FAMILY: [*family],
        SEX: [*sexes],
        "middle_name": [_LETTERS[k] for k in draws.below("middle", count, 26)],
        "birth_date": [(FIRST_BIRTH + timedelta(days=k)).strftime("%Y%m%d") for k in days],
        "street": [*streets],
        "postcode": [place.partition(" ")[0] for place in places],
        "city": [place.partition(" ")[2] for place in places],
        "phone": _phones(draws, count, ""),
        "email": [
            f"{g}.{f}{n}@example.net"
            for g, f, n in zip(given, family, draws.below("email", count, 1000), strict=True)
        ],
    }
    return {name: known.get(name, [None] * count) for name in protocol.field_names}


def spoil(people: Mapping[str, Sequence[str | None]], draws: Draws, missing: Mapping[str, float]) -> Columns:
    """One side's errors: slips in names, another family name, a wrong day of birth, moves, missing values.

    ``missing`` is the share of missing values by field, as among the custodian's own records.
    """
    count = len(next(iter(people.values())))
    spoiled: Columns = {name: list(values) for name, values in people.items()}

    def replace(name: str, share: float, other: Callable[[int, str], str | None], of: str = "") -> None:
        hit = draws.uniform(f"hit {of or name}", count) < share
        spoiled[name] = [
            other(k, v) if hit[k] and v is not None else v for k, v in enumerate(spoiled.get(name, []))
        ]

    table = load_values()
    families = draws.choose("other family", count, *table[FAMILY])
    places = draws.choose("other place", count, *table["postcode"])
    streets, phones = _addresses(draws, count, "other "), _phones(draws, count, "other ")
    slips = {name: draws.uniform(f"slip {name}", 2 * count) for name in (GIVEN, FAMILY)}
    for name, slip in slips.items():
        replace(name, MISTYPED_NAME, lambda k, v, slip=slip: mistype(v, slip[2 * k], slip[2 * k + 1]))  # type: ignore[misc]
    others: dict[str, tuple[float, Callable[[int, str], str | None], str]] = {
        FAMILY: (RENAMED, lambda k, v: families[k], "renamed"),
        "birth_date": (MISKEYED_BIRTH, lambda k, v: _joined_date(v, f"{v[:6]}{k % 28 + 1:02d}"), ""),
        "street": (MOVED, lambda k, v: streets[k], "moved"),
        "postcode": (MOVED, lambda k, v: places[k].partition(" ")[0], "moved"),
        "city": (MOVED, lambda k, v: places[k].partition(" ")[2], "moved"),
        "phone": (OTHER_CONTACT, lambda k, v: phones[k], ""),
        "email": (OTHER_CONTACT, lambda k, v: v.replace("@", f"{k % 10}@"), ""),
    }
    for name, (share, other, of) in others.items():
        if name in spoiled:
            replace(name, share, other, of)
    for name in spoiled:
        replace(name, missing.get(name, 0.0), lambda k, v: None, f"missing {name}")
    return spoiled


def mistype(text: str, place: float, choice: float) -> str:
    """Leave a letter out, or strike another in its place; a text of one letter stays."""
    at = int(place * len(text))
    if len(text) < 2:
        return text
    struck = "" if choice < 0.5 else _LETTERS[int((choice - 0.5) * 52)]
    return text[:at] + struck + text[at + 1 :]


@cache
def load_values() -> Mapping[str, tuple[list[str], list[int]]]:
    """Values and weights by kind: ``given_name f``, ``given_name m``, ``family_name``, ``street``, ``postcode``
    (with its city after a space).
    """
    content = gzip.decompress(files("linkage_core.custodian").joinpath("tables", TABLE).read_bytes())
    table: dict[str, tuple[list[str], list[int]]] = {}
    for row in csv.DictReader(io.StringIO(content.decode("ascii"))):
        kind, value = row["kind"], row["value"]
        if kind == GIVEN:
            kind = f"{kind} {row['detail']}"
        elif kind == "postcode":
            value = f"{value} {row['detail']}"
        values, weights = table.setdefault(kind, ([], []))
        values.append(value)
        weights.append(int(row["weight"]))
    return table


def _addresses(draws: Draws, count: int, other: str) -> list[str]:
    names = draws.choose(f"{other}street", count, *load_values()["street"])
    numbers, suffixes = (
        draws.below(f"{other}house", count, 9000),
        draws.below(f"{other}suffix", count, len(SUFFIXES)),
    )
    return [f"{n + 1} {name} {SUFFIXES[s]}" for n, name, s in zip(numbers, names, suffixes, strict=True)]


def _phones(draws: Draws, count: int, other: str) -> Texts:
    return [f"+1614555{number:04d}" for number in draws.below(f"{other}phone", count, 10_000)]


def _joined_date(year_of: str | None, day_of: str | None) -> str | None:
    """The year of one date and the day of another; 29 February becomes the 28th where there is none."""
    if year_of is None or day_of is None:
        return None
    day = day_of[4:]
    return year_of[:4] + ("0228" if day == "0229" and not calendar.isleap(int(year_of[:4])) else day)


def _missing_shares(own: pa.RecordBatch) -> dict[str, float]:
    rows = max(own.num_rows, 1)
    return {name: own.column(name).null_count / rows for name in own.schema.names}
