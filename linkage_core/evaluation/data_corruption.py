"""The ways in which the same person's record differs from one register to the next.

An **edit** is a pure function of a text and two uniform draws of [0, 1): the first picks a place, the second
one of several possibilities. It returns the text unchanged where it does not apply. Columns are (n,) object
arrays of str in which an empty text is a missing value: no edit touches one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.errors import NightlinkError
from linkage_core.evaluation.seeded_draws import open_stream

TextArray = npt.NDArray[np.object_]
Edit = Callable[[str, float, float], str]

KEYBOARD_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")

HEARD_ALIKE = (
    ("ph", "f"),
    ("f", "ph"),
    ("ck", "k"),
    ("c", "k"),
    ("k", "c"),
    ("ie", "y"),
    ("y", "ie"),
    ("ey", "y"),
    ("s", "z"),
    ("z", "s"),
    ("ll", "l"),
    ("nn", "n"),
    ("tt", "t"),
    ("ss", "s"),
    ("ou", "u"),
    ("ai", "ay"),
    ("ea", "ee"),
    ("ee", "ea"),
    ("th", "t"),
    ("sh", "sch"),
    ("gh", "g"),
    ("v", "w"),
    ("e", "i"),
    ("a", "e"),
    ("o", "u"),
)
"""What a clerk hears -> what the clerk may write."""

READ_ALIKE = (
    ("m", "rn"),
    ("rn", "m"),
    ("w", "vv"),
    ("d", "cl"),
    ("cl", "d"),
    ("l", "1"),
    ("i", "l"),
    ("o", "0"),
    ("e", "c"),
    ("h", "b"),
    ("b", "h"),
    ("n", "u"),
    ("u", "n"),
    ("g", "q"),
    ("a", "o"),
    ("s", "5"),
    ("t", "f"),
    ("y", "v"),
)
"""What is printed -> what a scanner may read."""

OTHER_SEX: Mapping[str, str] = {"f": "m", "m": "f"}


def drop_letter(text: str, place: float, choice: float) -> str:
    """Leave one character out; a text of one character stays."""
    at = int(place * len(text))
    return text[:at] + text[at + 1 :] if len(text) > 1 else text


def double_letter(text: str, place: float, choice: float) -> str:
    """Strike one key twice."""
    at = int(place * len(text))
    return text[: at + 1] + text[at:] if text else text


def swap_letters(text: str, place: float, choice: float) -> str:
    """Exchange two neighbouring characters."""
    at = int(place * (len(text) - 1))
    return text[:at] + text[at : at + 2][::-1] + text[at + 2 :] if len(text) > 1 else text


def hit_neighbour_key(text: str, place: float, choice: float) -> str:
    """Strike a key beside the right one; a character that is not on the keyboard stays."""
    at = int(place * len(text))
    for row in KEYBOARD_ROWS:
        key = row.find(text[at : at + 1]) if text else -1
        if key >= 0:
            neighbours = row[max(key - 1, 0) : key] + row[key + 1 : key + 2]
            return text[:at] + neighbours[int(choice * len(neighbours))] + text[at + 1 :]
    return text


SLIPS = (drop_letter, double_letter, swap_letters, hit_neighbour_key)


def mistype(text: str, place: float, choice: float) -> str:
    """Make one slip of the finger, of :data:`SLIPS`, each equally likely."""
    slip = int(choice * len(SLIPS))
    return SLIPS[slip](text, place, choice * len(SLIPS) - slip)


def mishear(text: str, place: float, choice: float) -> str:
    """Write one sound of :data:`HEARD_ALIKE` in another way."""
    return _replace_once(text, HEARD_ALIKE, place, choice)


def misread(text: str, place: float, choice: float) -> str:
    """Take one printed shape of :data:`READ_ALIKE` for another."""
    return _replace_once(text, READ_ALIKE, place, choice)


def _replace_once(text: str, pairs: Sequence[tuple[str, str]], place: float, choice: float) -> str:
    applicable = [pair for pair in pairs if pair[0] in text]
    if not applicable:
        return text
    old, new = applicable[int(choice * len(applicable))]
    places = [at for at in range(len(text)) if text.startswith(old, at)]
    at = places[int(place * len(places))]
    return text[:at] + new + text[at + len(old) :]


def swap_day_month(date_text: str, place: float, choice: float) -> str:
    """Exchange day and month of YYYYMMDD, where both orders are dates; other dates stay."""
    month, day = date_text[4:6], date_text[6:8]
    return date_text[:4] + day + month if "01" <= day <= "12" else date_text


def miskey_digit(date_text: str, place: float, choice: float) -> str:
    """Put another digit for one digit of the date's last six; the result may be no date at all."""
    if len(date_text) < 8:
        return date_text
    at = 2 + int(place * 6)
    digit = (int(date_text[at]) + 1 + int(choice * 9)) % 10
    return f"{date_text[:at]}{digit}{date_text[at + 1 :]}"


def round_date(date_text: str, place: float, choice: float) -> str:
    """Put the first of the month, or of the year, for a day that nobody remembered."""
    return date_text[:6] + "01" if choice < 0.4 else date_text[:4] + "0101"


def flip_sex(sex: str, place: float, choice: float) -> str:
    """Tick the other box."""
    return OTHER_SEX.get(sex, sex)


def corrupt_some(values: TextArray, rate: float, edit: Edit, stream: np.random.Generator) -> TextArray:
    """Edit each non-empty value with probability ``rate``; return a new array.

    Three draws are taken for every row, whatever the rate, so that two rates touch nested sets of rows.
    """
    chosen, places, choices = stream.random((3, len(values)))
    result = values.copy()
    for row in np.flatnonzero(chosen < rate):
        if result[row]:
            result[row] = edit(result[row], float(places[row]), float(choices[row]))
    return result


def blank_some(values: TextArray, rate: float, stream: np.random.Generator) -> TextArray:
    """Empty each value with probability ``rate``; return a new array."""
    result = values.copy()
    result[stream.random(len(values)) < rate] = ""
    return result


def swap_some(
    left: TextArray, right: TextArray, rate: float, stream: np.random.Generator
) -> tuple[TextArray, TextArray]:
    """Enter each pair of values in each other's columns with probability ``rate``; return new arrays."""
    swapped = stream.random(len(left)) < rate
    return np.where(swapped, right, left), np.where(swapped, left, right)


def replace_some(
    values: TextArray, rate: float, other_names: Mapping[str, Sequence[str]], stream: np.random.Generator
) -> TextArray:
    """Put one of a value's other names for it with probability ``rate``; a value without any stays."""

    def edit(text: str, place: float, choice: float) -> str:
        names = other_names.get(text, (text,))
        return names[int(choice * len(names))]

    return corrupt_some(values, rate, edit, stream)


def blank_values(table: pa.Table, rate: float, seed: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Empty values of a people table at random, to see what missing values cost.

    Parameters
    ----------
    table : pyarrow.Table
        String columns; ``rid`` is never touched.
    rate : float
        Share of each column's values to empty, in [0, 1]. Values that are empty already may be drawn too.
    seed : int
        Each column has a stream of its own: the same seed empties the same rows, whichever columns are named.
    columns : sequence of str, optional
        By default all but ``rid``.

    Raises
    ------
    NightlinkError
        ``E-INPUT`` when the rate is not a share or a column is not there.
    """
    named = [name for name in table.column_names if name != "rid"] if columns is None else list(columns)
    absent = [name for name in named if name not in table.column_names or name == "rid"]
    if absent or not 0 <= rate <= 1:
        raise NightlinkError(
            "E-INPUT",
            found=f"a rate of {rate} and {len(absent)} columns that cannot be emptied",
            expected="a rate from 0 to 1, and columns of the table other than rid",
            remedy="Correct the arguments of blank_values.",
        )
    for name in named:
        emptied = pa.array(open_stream(seed, f"blank {name}").random(table.num_rows) < rate)
        position = table.column_names.index(name)
        table = table.set_column(position, name, pc.if_else(emptied, pa.scalar(""), table[name]))
    return table
