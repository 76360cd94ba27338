"""One value of each kind to its normal form. Zone: custodian.

Every function takes folded text (:func:`linkage_core.custodian.text_folding.fold_to_ascii`) and returns the
normal form, or None for *missing*: a placeholder, or a value of which nothing usable is left. All are total,
idempotent and capped in length; none keeps state. What they do is told by the tables in ``tests/spec``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping

import phonenumbers

from linkage_core.custodian.birth_dates import parse_birth_date
from linkage_core.custodian.source_format import SourceFormat, compile_date_formats
from linkage_core.custodian.text_folding import (
    MISSING_WORDS,
    fold_to_ascii,
    split_words,
    squash,
    stands_for_missing,
    words,
)
from linkage_core.protocol.linkage_protocol import FieldKind

Normaliser = Callable[[str], str | None]

MAX_NAME_CHARS = 64
MAX_TEXT_CHARS = 100
MAX_TOKEN_CHARS = 40
MAX_POSTCODE_CHARS = 12
MAX_EMAIL_CHARS = 254

_TITLES = frozenset(
    {"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "dame", "rev", "reverend"}
)
_GENERATIONS = frozenset(
    {"jr", "jnr", "junior", "sr", "snr", "senior", "ii", "iii", "iv", "2nd", "3rd", "4th"}
)
PLACEHOLDER_NAMES = MISSING_WORDS | words(
    """
    test testing testpatient dummy example anonymous anon noname nofirstname nolastname nofamilyname
    nosurname nomiddlename nmn nmi fnu lnu nfn nln infant newborn unborn donotuse duplicate zztest asdf
    qwerty
    """
)
NEWBORN = re.compile(r"(?:newborn|infant)?(?:baby|bb|bg)?(?:boy|girl|male|female)[1-4]?|(?:twin|baby)[1-4]?")
_ONE_CHARACTER = re.compile(r"(.)\1{2,}|x{2,}")

_STREET_WORD_PAIRS = words(
    """
    street:st str:st saint:st avenue:ave av:ave road:rd drive:dr drv:dr lane:ln court:ct crt:ct place:pl
    boulevard:blvd boul:blvd square:sq terrace:ter terr:ter trail:trl parkway:pkwy highway:hwy
    circle:cir circuit:cct crescent:cres close:cl grove:gr gardens:gdns heights:hts point:pt ridge:rdg
    route:rte turnpike:tpke expressway:expy freeway:fwy alley:aly plaza:plz parade:pde esplanade:esp
    mount:mt mountain:mtn fort:ft north:n south:s east:e west:w northeast:ne northwest:nw southeast:se
    southwest:sw apartment:apt apartments:apt suite:ste floor:fl building:bldg room:rm
    """
)
STREET_WORDS: Mapping[str, str] = dict(pair.split(":") for pair in _STREET_WORD_PAIRS)
"""Words of addresses and cities in their short form (USPS Publication 28, appendix C, where it has one)."""

PLACEHOLDER_TEXTS = MISSING_WORDS | words(
    """
    homeless nofixedabode nfa noaddress nofixedaddress generaldelivery addressunknown unknownaddress
    sameasabove
    """
)
_EMPTY_TEXTS = PLACEHOLDER_TEXTS | {""}
PLACEHOLDER_POSTCODES = MISSING_WORDS | {"0" * n for n in range(1, 13)} | {"9" * n for n in range(4, 13)}
PLACEHOLDER_MAILBOXES = MISSING_WORDS | words(
    """
    noemail nomail noreply donotreply no na test example nobody
    """
)
PLACEHOLDER_NUMBERS = frozenset({"1234567890", "0123456789", "123456789"})

_PO_BOX = re.compile(r"\b(?:p o|post office) box\b")
_BRACKETS = re.compile(r"\([^)]*\)")
_EMAIL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~.-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}")
_NORTH_AMERICAN = re.compile(r"(?:\+?1[ .-]*)?\(?([2-9][0-9]{2})\)?[ .-]*([2-9][0-9]{2})[ .-]*([0-9]{4})")


def value_normaliser(
    kind: FieldKind, source_format: SourceFormat, as_of: dt.date | None = None
) -> Normaliser:
    """The function that takes a raw text of this kind from this source to its normal form or None."""
    normalise_folded = _normaliser_of_folded(kind, source_format, as_of)

    def normalise(raw: str) -> str | None:
        folded = fold_to_ascii(raw)
        return normalise_folded(folded) if folded else None

    return normalise


def _normaliser_of_folded(kind: FieldKind, source_format: SourceFormat, as_of: dt.date | None) -> Normaliser:
    if kind == "date":
        patterns = compile_date_formats(source_format)
        return lambda folded: parse_birth_date(folded, patterns, source_format, as_of).text
    if kind == "sex":
        codes = folded_sex_codes(source_format)
        return lambda folded: codes.get(folded) or None
    if kind == "phone":
        return lambda folded: normalise_phone(folded, source_format.phone_region)
    return {
        "name": normalise_name,
        "text": normalise_text,
        "postcode": normalise_postcode,
        "email": normalise_email,
    }[kind]


def folded_sex_codes(source_format: SourceFormat) -> dict[str, str]:
    """The declared sex codes by their folded form."""
    return {fold_to_ascii(code): meaning for code, meaning in source_format.sex_codes.items()}


def normalise_name(folded: str) -> str | None:
    """A name as one word: particles and hyphens joined, titles, suffixes and brackets dropped.

    A title or a generation is dropped only while another word remains, so a person called Junior keeps the
    name.
    """
    if folded.isalnum():
        name = folded[:MAX_NAME_CHARS]
    elif stands_for_missing(folded):
        return None
    else:
        name = "".join(_name_words(folded))[:MAX_NAME_CHARS]
    return None if _is_placeholder_name(name) else name


def _name_words(folded: str) -> list[str]:
    kept = split_words(_BRACKETS.sub(" ", folded)) or split_words(folded)
    while len(kept) > 1 and kept[0] in _TITLES:
        kept = kept[1:]
    while len(kept) > 1 and kept[-1] in _GENERATIONS:
        kept = kept[:-1]
    return kept


def _is_placeholder_name(name: str) -> bool:
    return bool(name in PLACEHOLDER_NAMES or NEWBORN.fullmatch(name) or _ONE_CHARACTER.fullmatch(name))


def normalise_text(folded: str) -> str | None:
    """A street or a city as words parted by one space, common words in their short form.

    Whole words are kept while they fit in ``MAX_TEXT_CHARS``.
    """
    if stands_for_missing(folded):
        return None
    whole = [word[:MAX_TOKEN_CHARS] for word in split_words(folded) if word != "and"]
    short = " ".join(STREET_WORDS.get(word, word) for word in whole)
    text = _PO_BOX.sub("po box", short)
    if len(text) > MAX_TEXT_CHARS:
        text = text[: MAX_TEXT_CHARS + 1].rpartition(" ")[0]
    placeholder = squash(folded) in PLACEHOLDER_TEXTS or text.replace(" ", "") in _EMPTY_TEXTS
    return None if placeholder else text


def normalise_postcode(folded: str) -> str | None:
    """A postcode without spaces or hyphens; ZIP+4 loses its four."""
    code = squash(folded)[:MAX_POSTCODE_CHARS]
    if len(code) == 9 and code.isdigit():
        code = code[:5]
    return None if not code or code in PLACEHOLDER_POSTCODES or stands_for_missing(folded) else code


def normalise_phone(folded: str, region: str | None) -> str | None:
    """A possible telephone number in E.164; numbers without a country code are read as of ``region``."""
    national = _NORTH_AMERICAN.fullmatch(folded) if region in ("US", "CA") else None
    # the common shape is spelt out, since the library takes 20 microseconds a number; a property test
    # compares
    number = "+1" + "".join(national.groups()) if national else _parse_phone(folded, region)
    if number is None or _is_placeholder_number(number):
        return None
    return number


def _parse_phone(folded: str, region: str | None) -> str | None:
    """E.164 by the library, and None where its own output does not read back as itself."""
    number = _format_possible(folded, region)
    return number if number is not None and _format_possible(number, None) == number else None


def _format_possible(text: str, region: str | None) -> str | None:
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    possible = (
        phonenumbers.ValidationResult.IS_POSSIBLE
    )  # not IS_POSSIBLE_LOCAL_ONLY: seven digits name nobody
    if phonenumbers.is_possible_number_with_reason(parsed) != possible:
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def _is_placeholder_number(number: str) -> bool:
    last = number[-7:]
    return len(set(last)) == 1 or number.endswith(tuple(PLACEHOLDER_NUMBERS))


def normalise_email(folded: str) -> str | None:
    """An address in lower case without spaces or a +tag; None when it is not one mailbox at one domain."""
    address = "".join(folded.removeprefix("mailto:").split())
    if len(address) > MAX_EMAIL_CHARS or not _EMAIL.fullmatch(address):
        return None
    mailbox, _, domain = address.partition("@")
    mailbox = mailbox[: mailbox.find("+", 1)] if "+" in mailbox[1:] else mailbox
    return None if squash(mailbox) in PLACEHOLDER_MAILBOXES or not squash(mailbox) else f"{mailbox}@{domain}"
