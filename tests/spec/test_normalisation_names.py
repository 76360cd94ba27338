"""Names, read aloud: what two custodians' spellings of one person become."""

import pytest

from linkage_core.custodian.source_format import CANONICAL_FORMAT
from linkage_core.custodian.value_normalisers import value_normaliser

NAMES = [
    # what the source wrote, what is encoded, why
    ("Smith", "smith", "letter case does not count"),
    ("  Smith ", "smith", "nor do outer spaces"),
    ("O'Shea", "oshea", "an apostrophe joins"),
    ("O’Shea", "oshea", "a typographic apostrophe too"),
    ("OʼShea", "oshea", "and the modifier letter"),
    ("O Shea", "oshea", "as does the space of those who dislike apostrophes"),
    ("Jean-Pierre", "jeanpierre", "a double name is one word"),
    ("Jean Pierre", "jeanpierre", "with or without its hyphen"),
    ("van der Berg", "vanderberg", "particles are part of the name"),
    ("Vanderberg", "vanderberg", "so both spellings agree"),
    ("de la Cruz", "delacruz", "in any language"),
    ("St. John", "stjohn", "full stops go"),
    ("Müller", "muller", "accents go"),
    ("Mu\u0308ller", "muller", "also where they are characters of their own"),
    ("Łukasz", "lukasz", "a stroke is no letter of its own"),
    ("Strauß", "strauss", "sharp s is ss"),
    ("Ångström", "angstrom", "rings go"),
    ("Đặng", "dang", "Vietnamese marks go"),
    ("Иван", "ivan", "Cyrillic is transliterated"),
    ("ＳＭＩＴＨ", "smith", "full-width letters are letters"),
    ("\ufeffSmith", "smith", "a byte order mark is nothing"),
    ("Sm\u200dith\u202e", "smith", "nor are joiners and direction marks"),
    ("Anna 😀", "anna", "a picture is no part of a name"),
    ("Smith Jr.", "smith", "the generation is dropped"),
    ("Smith, III", "smith", "in Roman numerals too"),
    ("Smith Senior", "smith", "or in full"),
    ("Junior", "junior", "unless it is the name"),
    ("Dr. Maria", "maria", "a title is dropped"),
    ("Mr & Mrs", "mrs", "but something always remains"),
    ("Robert (Bob)", "robert", "a name in brackets is an aside"),
    ("(Bob)", "bob", "unless it is all there is"),
    ("K.", "k", "an initial is a name"),
    ("Na", "na", "Na is a surname"),
    ("Boyd", "boyd", "and Boyd is no boy"),
    ("J0hn", "j0hn", "a misread letter stays, since its neighbours still agree"),
]

MISSING_NAMES = [
    "", "   ", "-", "?", "'", "...", "Unknown", "UNKNOWN", "unk", "n/a", "N/A", "n.a.", "none", "null", "Not Known",
    "not given", "test", "TEST", "Mr Test", "Test Patient", "anonymous", "no name", "no last name", "xx", "XXX",
    "xxxxxx", "zzz", "aaaa", "Baby Boy", "baby-girl", "BABYBOY", "Baby Girl 2", "Newborn Male", "bb girl", "Infant",
    "Twin 1", "FNU", "LNU", "NMN", "refused", "😀", "\x00",
]  # fmt: skip

name = value_normaliser("name", CANONICAL_FORMAT)


@pytest.mark.parametrize(("written", "encoded", "why"), NAMES, ids=[ascii(row[0]) for row in NAMES])
def test_a_name(written: str, encoded: str, why: str) -> None:
    assert name(written) == encoded, why


@pytest.mark.parametrize("written", MISSING_NAMES, ids=ascii)
def test_a_placeholder_is_a_missing_name(written: str) -> None:
    assert name(written) is None


def test_a_name_of_a_megabyte_is_cut_and_does_not_hang() -> None:
    assert len(name("ab" * 500_000) or "") == 64
    assert name("é" * 1_000_000) is None  # one letter over and over
