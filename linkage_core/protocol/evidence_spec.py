"""What evidence two records can show: tokens, group filters, and each field's levels. Zone: protocol.

Both zones read this: the custodian computes what is defined here, the linkage unit reads pairs by it. Nothing
in it depends on a record. The composition was chosen by measurement (MATCHING; the table of
``tests/benchmarks/evaluate_sets.py``): exactness is decided by tokens, one edit by filters.

Words
    An *atom* is one field seen through one code, such as (family_name, soundex). A *token* is a keyed hash of
    two or more atoms together; two equal tokens say that all their atoms agree. A *level* is how much of a
    field agrees; level 0 is exact agreement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

GIVEN, FAMILY, BIRTH = "given_name", "family_name", "birth_date"
CORE_FIELDS = (GIVEN, FAMILY, BIRTH)
SEX = "sex"
NAMES = "names"
"""A pseudo-field: given and family name without their order, so that swapped names agree."""

NEAR = "near"
SWAPPED, SWAPPED_SOUND = "swapped", "swapped_sound"
DIFFERENT = "different"

DISTINCTIVE_FIELDS = ("street", "phone", "email")
"""Fields whose commonest value is rare: they may stand beside one other field in a token."""
COMMON_FIELDS = ("middle_name", "city", "postcode")
"""Fields in which one value may be common (a town's postcode, an initial): in tokens of three parts only,
where a frequency attack found least (MATCHING, "a more private variant").
"""

IMPLIED_CODES: Mapping[str, tuple[str, ...]] = {
    "exact": (
        "soundex", "prefix1", "prefix3", "suffix3", "house_number", "street_start",
        "year", "decade", "year_month", "month_day", "year_digit_month_day", "year_sorted_day_month",
    ),
    "prefix3": ("prefix1",),
    "year_month": ("year", "decade"),
    "year_sorted_day_month": ("year", "decade"),
    "year": ("decade",),
}  # fmt: skip
"""Codes that must agree when another one does."""

FIELD_LEVELS: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    GIVEN: (
        ("exact", ("exact",)),
        (NEAR, (NEAR,)),
        ("soundex", ("soundex",)),
        ("prefix3", ("prefix3",)),
        ("prefix1", ("prefix1",)),
    ),
    FAMILY: (
        ("exact", ("exact",)),
        (NEAR, (NEAR,)),
        ("soundex", ("soundex",)),
        ("prefix3", ("prefix3",)),
        ("suffix3", ("suffix3",)),
    ),
    # Differences that a filter shows as fewer than five q-grams belong to one level with the codes that
    # prove such a difference, or the level without a filter would look impossible among random pairs.
    BIRTH: (
        ("exact", ("exact",)),
        (NEAR, (NEAR, "year_month", "year_sorted_day_month", "year_digit_month_day")),
        ("month_day", ("month_day",)),
        ("year", ("year",)),
    ),
    "street": (
        ("exact", ("exact",)),
        ("number_and_start", ("number_and_start",)),
        ("house_number", ("house_number",)),
        ("street_start", ("street_start",)),
    ),
    "postcode": (("exact", ("exact",)), ("prefix3", ("prefix3",))),
}
"""Levels of a field from the best on, each with the codes any of which shows it; *different* comes last."""

PLAIN_LEVELS: tuple[tuple[str, tuple[str, ...]], ...] = (("exact", ("exact",)),)


@dataclass(frozen=True, order=True)
class TokenPart:
    """One field seen through one code."""

    field: str
    code: str = "exact"


@dataclass(frozen=True)
class TokenDefinition:
    """A token over parts of two or more fields (:data:`NAMES` is two); null when a part is missing."""

    name: str
    parts: tuple[TokenPart, ...]


@dataclass(frozen=True)
class FilterGroup:
    """One diffused filter over a group of fields; null when one of them is missing.

    ``field_bits`` positions are shared out over a value's q-grams, at most ``bits_per_q_gram`` each; output
    bit ``i`` is the XOR of ``terms`` keyed positions of the plain filter.
    """

    name: str
    fields: tuple[str, ...]
    bits: int = 512
    bits_per_q_gram: int = 20
    field_bits: int = 200
    terms: int = 8
    diffused_bits: int = 2048


@dataclass(frozen=True)
class EvidenceSpec:
    """All evidence of one protocol.

    Attributes
    ----------
    fields : tuple of str
        Fields that are compared, in order; their place is their index everywhere.
    tokens : tuple of TokenDefinition
    groups : tuple of FilterGroup
    rarity_edges : tuple of float
        Ascending edges, in bits relative to the field's mean, between the bands of how rare a value is.
    near_q_grams : float
        Two values are *near* when fewer q-grams than this differ between them.
    """

    fields: tuple[str, ...]
    tokens: tuple[TokenDefinition, ...]
    groups: tuple[FilterGroup, ...]
    rarity_edges: tuple[float, ...] = (-1.5, 1.5)
    near_q_grams: float = 5.0

    def level_names(self, field: str) -> tuple[str, ...]:
        """Names of the field's levels from *exact* to *different*, then those of swapped names."""
        names = (*(name for name, _ in self.level_codes(field)), DIFFERENT)
        return (*names, SWAPPED, SWAPPED_SOUND) if field == GIVEN else names

    def level_codes(self, field: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Levels that codes or filters can show (:data:`FIELD_LEVELS`), of those that are in use."""
        used = {part.code for token in self.tokens for part in token.parts if part.field == field}
        if any(field in group.fields for group in self.groups):
            used.add(NEAR)
        if {"house_number", "street_start"} <= used:
            used.add("number_and_start")
        levels = FIELD_LEVELS.get(field, PLAIN_LEVELS)
        return tuple((name, codes) for name, codes in levels if name == "exact" or used & set(codes))

    @property
    def blocking_tokens(self) -> tuple[int, ...]:
        """Places of the tokens whose equality proposes a candidate pair."""
        passes = {token(*parts).parts for parts in BLOCKING_TOKENS}
        return tuple(t for t, definition in enumerate(self.tokens) if definition.parts in passes)

    @cached_property
    def atoms(self) -> tuple[TokenPart, ...]:
        """Every atom that a token, a filter or an implication can show, sorted."""
        found = {part for token in self.tokens for part in token.parts}
        found |= {TokenPart(field) for field in self.fields}
        found |= {TokenPart(field, NEAR) for group in self.groups for field in group.fields}
        found |= {TokenPart(field, "number_and_start") for field in self.fields if field == "street"}
        return tuple(sorted(found))


def token(*parts: str) -> TokenDefinition:
    """A definition from texts such as ``"given_name:soundex"``; its name joins them."""
    return TokenDefinition(
        "+".join(parts),
        tuple(TokenPart(field, code or "exact") for field, _, code in (p.partition(":") for p in parts)),
    )


def default_evidence(fields: Sequence[str]) -> EvidenceSpec:
    """The recommended composition for the fields that both custodians have.

    Definitions over an absent field are left out, so nothing but the list of fields steers it.
    """
    wanted = [*_exact_tokens(), *_places_tokens(), *_street_tokens(), *_swapped_tokens(), *_pass_tokens()]
    present = {*fields, NAMES}
    kept = {t.parts: t for t in wanted if all(part.field in present for part in t.parts)}
    groups = (
        FilterGroup("given_family", (GIVEN, FAMILY)),
        FilterGroup("given_birth", (GIVEN, BIRTH)),
        FilterGroup("family_birth", (FAMILY, BIRTH)),
    )
    return EvidenceSpec(tuple(fields), tuple(kept.values()), groups)


def _exact_tokens() -> list[TokenDefinition]:
    pairs = [(GIVEN, FAMILY), (GIVEN, BIRTH), (FAMILY, BIRTH)]
    others = (*DISTINCTIVE_FIELDS, *COMMON_FIELDS)
    triples = [(*pair, other) for other in others for pair in pairs]
    beside_one = [(core, other) for other in DISTINCTIVE_FIELDS for core in CORE_FIELDS]
    return [token(*parts) for parts in (*pairs, *triples, *beside_one)]


def _places_tokens() -> list[TokenDefinition]:
    """Common fields beside parts of the core fields, so that they show when a core field does not agree."""
    beside = [
        (BIRTH, "given_name:prefix1"),
        (BIRTH, "family_name:prefix1"),
        (BIRTH, SEX),
        (GIVEN, "birth_date:year"),
        (FAMILY, "birth_date:year"),
        (GIVEN, "birth_date:month_day"),
        (FAMILY, "birth_date:month_day"),
        (GIVEN, "family_name:prefix1"),
        (FAMILY, "given_name:prefix1"),
    ]
    tokens = [token(*pair, other) for other in COMMON_FIELDS for pair in beside]
    return [*tokens, token(BIRTH, "street", SEX)]


def _street_tokens() -> list[TokenDefinition]:
    """House number and start of the street's name: what survives a retyped street."""
    beside = [
        (FAMILY, "birth_date:year"),
        (GIVEN, "birth_date:year"),
        (GIVEN, "family_name:prefix1"),
        (FAMILY, "given_name:prefix1"),
        (BIRTH,),
    ]
    return [token(*parts, "street:house_number", "street:street_start") for parts in beside]


def _swapped_tokens() -> list[TokenDefinition]:
    places = ("street", "city", "postcode", "phone", "email")
    return [token(NAMES, BIRTH), *(token(NAMES, place) for place in places)]


def _pass_tokens() -> list[TokenDefinition]:
    """Tokens that propose the candidate pairs; they leave the custodian anyway, so they count as evidence."""
    return [token(*parts) for parts in BLOCKING_TOKENS]


BLOCKING_TOKENS: tuple[tuple[str, ...], ...] = (
    ("family_name:soundex", "birth_date:year"),
    ("given_name:prefix1", "birth_date:year_digit_month_day"),
    ("given_name:prefix1", "birth_date:year_sorted_day_month"),
    ("family_name:suffix3", "birth_date:year_sorted_day_month"),
    ("given_name:soundex", "family_name:suffix3"),
    ("given_name:prefix1", "family_name:prefix3", "postcode:prefix3"),
    ("names:soundex",),
    ("birth_date", "sex"),
    ("birth_date", "postcode"),
    ("family_name", "postcode"),
    ("given_name", "postcode"),
    ("family_name", "sex"),
    ("given_name:soundex", "birth_date:year"),
    ("given_name:soundex", "birth_date:year_month", "sex"),
    ("family_name:soundex", "given_name:prefix1"),
    ("family_name:soundex", "birth_date:decade"),
    ("family_name:soundex", "middle_name:prefix1"),
    ("given_name:soundex", "middle_name:prefix1"),
    ("birth_date:year_digit_month_day", "middle_name:prefix1"),
    ("birth_date:year_month", "middle_name:prefix1", "sex"),
    ("given_name:soundex", "street:street_start"),
    ("family_name", "street:house_number"),
    ("street", "birth_date:year"),
    ("given_name", "street"),
    ("birth_date", "phone"),
    ("birth_date", "email"),
)
"""Parts of the tokens whose equality makes two records a candidate pair."""
