"""Codes of fields: what passes and tokens are made of. Zone: custodian.

Each pass sees some fields through codes (a Soundex, a year, a prefix), in clear text, here; only a keyed hash
of the combination leaves. A record that lacks one part has no value in that pass, rather than a constant that
all such records would share. Passes over several phonetic codes find more true pairs for fewer candidates
than any family of locality-sensitive hashes that was tried (KERNELS, measured).

Soundex: Russell 1918, US patent 1,261,167, in the form of the US National Archives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import jellyfish

from linkage_core.custodian.text_folding import words

_LETTERS = re.compile("[a-z]+")
STREET_KINDS = words(
    """
    n s e w ne nw se sw st ave rd dr ln ct pl blvd sq ter terr trl pkwy hwy cir cct cres cl gr way apt ste
    """
)
STREET_START_LETTERS = 4
_HOUSE_NUMBER = re.compile(r"(?:^| )0*([0-9]+)[a-z]?(?: |$)")


def soundex(name: str) -> str | None:
    """Letter and three digits; None for a name without a letter. Digits in it are skipped."""
    letters = name if name.isalpha() else "".join(_LETTERS.findall(name))
    return jellyfish.soundex(letters) if letters else None


def house_number(street: str) -> str | None:
    """The first number that stands alone or with one letter, without leading zeros; None if none does."""
    found = _HOUSE_NUMBER.search(street)
    return found[1] if found else None


def street_start(street: str) -> str | None:
    """The first letters of a street's name without numbers, directions and kinds of street; None if none.

    Spaces do not count, so a name that was split or joined keeps its start.
    """
    kept = [word for word in street.split() if word.isalpha() and word not in STREET_KINDS]
    return "".join(kept)[:STREET_START_LETTERS] or None


def year_sorted_day_month(date: str) -> str:
    """The year and the smaller then the larger of month and day: equal for a date whose day and month are
    swapped.
    """
    return date[:4] + "".join(sorted((date[4:6], date[6:8])))


BLOCKING_FUNCTIONS: Mapping[str, Callable[[str], str | None]] = {
    "exact": str,
    "soundex": soundex,
    "prefix1": lambda value: value[:1],
    "prefix3": lambda value: value[:3],
    "suffix3": lambda value: value[-3:],
    "year": lambda date: date[:4],
    "year_month": lambda date: date[:6],
    "month_day": lambda date: date[4:8],
    "year_digit_month_day": lambda date: date[3:8],
    "year_sorted_day_month": year_sorted_day_month,
    "decade": lambda date: date[:3],
    "house_number": house_number,
    "street_start": street_start,
}
"""What each code of the protocol, but for nicknames, takes from a normalised value; None makes a pass or token null.

A value shorter than a prefix or suffix is taken whole.
"""


def coding_functions(formal_names: Mapping[str, str]) -> Mapping[str, Callable[[str], str | None]]:
    """Every code's function, with nicknames read by a table from a name to its formal name.

    ``nickname`` is the formal name, or the name itself where the table has none; ``nickname_sound`` its Soundex.
    """

    def formal(name: str) -> str:
        return formal_names.get(name, name)

    return {**BLOCKING_FUNCTIONS, "nickname": formal, "nickname_sound": lambda name: soundex(formal(name))}
