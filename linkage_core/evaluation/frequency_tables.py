"""Names, places and nicknames with their real frequencies: the tables under ``tables/``, as arrays.

The files are data of this package, read as any module is; ``tables/README.md`` gives sources and licences.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from linkage_core.evaluation.data_corruption import TextArray
from linkage_core.evaluation.seeded_draws import IntArray

FIRST_DECADE, LAST_DECADE = 1920, 2010


@dataclass(frozen=True)
class FrequencyTables:
    """What people are drawn from.

    Attributes
    ----------
    surnames, surname_people : (60000,) str and int64
    given_names : (k,) str
    given_name_sex : (k,) str
        ``f`` or ``m``; a name that both sexes bear has two rows.
    given_name_births : (k, 10) int64
        Births in each decade from the 1920s to the 2010s.
    postcodes, cities, postcode_people : (p,) str, str and int64
    street_names : (s,) str
    nicknames : mapping of given name to its nicknames, in alphabetical order
    """

    surnames: TextArray
    surname_people: IntArray
    given_names: TextArray
    given_name_sex: TextArray
    given_name_births: IntArray
    postcodes: TextArray
    cities: TextArray
    postcode_people: IntArray
    street_names: TextArray
    nicknames: Mapping[str, tuple[str, ...]]


def load_frequency_tables() -> FrequencyTables:
    """Read the tables from the package."""
    surnames = _read_table("surnames.csv.gz", "surname")
    given = _read_table("given_names.csv.gz", "sex", "given_name")
    places = _read_table("postcodes.csv.gz", "postcode", "city")
    nicknames: dict[str, tuple[str, ...]] = {}
    for row in _read_table("nicknames.csv.gz", "given_name", "nickname").to_pylist():
        nicknames[row["given_name"]] = (*nicknames.get(row["given_name"], ()), row["nickname"])
    decades = [str(decade) for decade in range(FIRST_DECADE, LAST_DECADE + 10, 10)]
    return FrequencyTables(
        surnames=_texts(surnames["surname"]),
        surname_people=surnames["people"].to_numpy(),
        given_names=_texts(given["given_name"]),
        given_name_sex=_texts(given["sex"]),
        given_name_births=np.column_stack([given[decade].to_numpy() for decade in decades]),
        postcodes=_texts(places["postcode"]),
        cities=_texts(places["city"]),
        postcode_people=places["people"].to_numpy(),
        street_names=_texts(_read_table("street_names.csv", "street_name")["street_name"]),
        nicknames=nicknames,
    )


def _read_table(name: str, *text_columns: str) -> Any:
    content = files("linkage_core.evaluation").joinpath("tables", name).read_bytes()
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    # Named as text: a postcode keeps a leading zero, and no name is taken for a missing value.
    options = pacsv.ConvertOptions(column_types={column: pa.string() for column in text_columns})
    return pacsv.read_csv(pa.BufferReader(content), convert_options=options)


def _texts(column: Any) -> TextArray:
    return np.array(column.to_pylist(), dtype=object)
