"""Any text to lower-case ASCII, and the words that stand for a missing value. Zone: custodian."""

from __future__ import annotations

import re
import unicodedata

from anyascii import anyascii

from linkage_core.protocol.row_rules import LONGEST_TEXT_CHARS

MAX_RAW_CHARS = LONGEST_TEXT_CHARS
"""Longer values break the rule R-TOO-LONG; folding cuts them here, so that it stays bounded for any input."""

_DROPPED_CATEGORIES = frozenset({"So", "Cs", "Co", "Cn"})
"""Pictures, surrogates and private characters: their transliterations (":grinning:") are no part of a name.
"""


def _characters(ranges: str) -> re.Pattern[str]:
    """Any of the characters in ranges of hexadecimal code points."""
    ends = (code.split("-") for code in ranges.split())
    return re.compile("[" + "".join(f"{chr(int(e[0], 16))}-{chr(int(e[-1], 16))}" for e in ends) + "]")


_ASSIGNED_AFTER_UNICODE_14 = _characters(
    """
    CF3 ECE 2FFC-2FFF 31EF 10EFD-10EFF 1123F-11241 11B00-11B09 11F00-11F10 11F12-11F3A 11F3E-11F59 1342F
    13439-13455 1B132 1B155 1D2C0-1D2D3 1DF25-1DF2A 1E030-1E06D 1E08F 1E4D0-1E4F9 1F6DC 1F774-1F776
    1F77B-1F77F 1F7D9 1FA75-1FA77 1FA87-1FA88 1FAAD-1FAAF 1FABB-1FABD 1FABF 1FACE-1FACF 1FADA-1FADB 1FAE8
    1FAF7-1FAF8 2B739 2EBF0-2EE5D 31350-323AF
    """
)
"""Unicode 15.0 and 15.1. Python 3.11 has 14.0 and drops these as unassigned; so must a custodian with a later Python,
where 757 of them would be transliterated.
"""

_CONTROL_CHARACTERS = dict.fromkeys((*range(32), 127), " ")


def words(table: str) -> frozenset[str]:
    """The words of a table that is written as running text."""
    return frozenset(table.split())


MISSING_WORDS = words(
    """
    unknown unk unkown notknown none null missing tbd tba notgiven notprovided notrecorded notavailable
    notapplicable notstated notspecified unspecified undisclosed withheld refused declined noinformation
    nodata
    """
)
"""Squashed words (letters and digits only) that mean *missing* in any field."""

_LETTERS_AND_DIGITS = re.compile("[a-z0-9]+")
_NOT_APPLICABLE = re.compile(r"#?n[/.\\]a\.?")
"""n/a, n.a., #n/a. Plain `na` is left alone: it is a surname."""


def fold_to_ascii(text: str) -> str:
    """Lower-case ASCII without control characters or outer spaces, from any text.

    Compatibility composition (NFKC) comes first, so a name in composed and in decomposed form folds alike;
    the composed form is the one to transliterate, since a Hangul syllable or a voiced kana taken apart reads
    otherwise.

    Total and idempotent, and the same under every Python from 3.11 to 3.13. At most ``MAX_RAW_CHARS`` composed
    characters are read.
    """
    if not text.isascii():
        known = _ASSIGNED_AFTER_UNICODE_14.sub("", text)
        composed = unicodedata.normalize("NFKC", known)[:MAX_RAW_CHARS]
        kept = (char for char in composed if unicodedata.category(char) not in _DROPPED_CATEGORIES)
        text = anyascii("".join(kept))
    text = text[:MAX_RAW_CHARS]
    return (text if text.isprintable() else text.translate(_CONTROL_CHARACTERS)).strip().lower()


def split_words(folded: str) -> list[str]:
    """Runs of letters and digits; an apostrophe joins what it stands between."""
    return _LETTERS_AND_DIGITS.findall(folded.replace("'", "").replace("`", ""))


def squash(folded: str) -> str:
    """Only the letters and digits of folded text."""
    return folded if folded.isalnum() else "".join(_LETTERS_AND_DIGITS.findall(folded))


def stands_for_missing(folded: str) -> bool:
    """True when folded text is empty, punctuation only, or a word for a missing value."""
    squashed = squash(folded)
    return not squashed or squashed in MISSING_WORDS or _NOT_APPLICABLE.fullmatch(folded) is not None
