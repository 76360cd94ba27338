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

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from linkage_core.errors import ProtocolError
from linkage_core.protocol.linkage_protocol import FilterGroup, LinkageProtocol, Parts

GIVEN, FAMILY, BIRTH = "given_name", "family_name", "birth_date"
MIDDLE = "middle_name"
CORE_FIELDS = (GIVEN, FAMILY, BIRTH)
SEX = "sex"
MAX_ATOMS = 64
"""Atoms are bits of one word at the linkage unit."""

NEAR = "near"
SWAPPED, SWAPPED_SOUND = "swapped", "swapped_sound"
DIFFERENT = "different"

IMPLIED_CODES: Mapping[str, tuple[str, ...]] = {
    "exact": (
        "soundex", "nickname", "nickname_sound", "prefix1", "prefix3", "suffix3", "house_number", "street_start",
        "year", "decade", "year_month", "month_day", "year_digit_month_day", "year_sorted_day_month",
    ),
    "nickname": ("nickname_sound",),
    "prefix3": ("prefix1",),
    "year_month": ("year", "decade"),
    "year_digit_month_day": ("month_day",),
    "year_sorted_day_month": ("year", "decade"),
    "year": ("decade",),
}  # fmt: skip
"""Codes that must agree when another one does."""

JOINT_CODES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("house_number", "street_start"), "number_and_start"),
    (("year", "month_day"), "exact"),
    (("decade", "year_digit_month_day"), "exact"),
)
"""Codes of one field that together make another one agree: a year and a month with its day are a date."""

FIELD_LEVELS: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    GIVEN: (
        ("exact", ("exact",)),
        (NEAR, (NEAR,)),
        ("soundex", ("soundex", "nickname", "nickname_sound")),
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
    MIDDLE: (
        ("exact", ("exact",)),
        ("initial", ("prefix1",)),
    ),
    "street": (
        ("exact", ("exact",)),
        ("number_and_start", ("number_and_start",)),
        ("house_number", ("house_number",)),
        ("street_start", ("street_start",)),
    ),
}
"""Levels of a field from the best on, each with the codes any of which shows it; *different* comes last.

A postcode is exact or different. Its area is no level: where most people live in one area, random pairs agree on
it, and pairs whose area no token tested would look like people who never meet at random (two registers of
strangers gave 82 links of expected precision 1.0; tests/unit/evaluation/test_evaluate_linkage.py).
"""

STANDING_LEVELS = ("number_and_start", "initial")
"""Levels of places that stand though no token could have shown better: the least that agrees."""

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
class EvidenceSpec:
    """All evidence of one protocol.

    Attributes
    ----------
    fields : tuple of str
        Fields that are compared, in order; their place is their index everywhere.
    tokens : tuple of TokenDefinition
        Those of the blocking passes first, in the protocol's order.
    passes : int
        How many of the tokens are blocking passes: their equality proposes a candidate pair.
    by_filters : bool
        Similar filters of a group propose candidate pairs, and passes do not.
    groups : tuple of FilterGroup
    rarity_edges : tuple of float
        Ascending edges, in bits relative to the field's mean, between the bands of how rare a value is.
    near_q_grams : float
        Two values are *near* when fewer q-grams than this differ between them.
    """

    fields: tuple[str, ...]
    tokens: tuple[TokenDefinition, ...]
    passes: int
    groups: tuple[FilterGroup, ...]
    rarity_edges: tuple[float, ...]
    near_q_grams: float
    by_filters: bool = False

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

    @cached_property
    def atoms(self) -> tuple[TokenPart, ...]:
        """Every atom that a token, a filter or an implication can show, sorted."""
        found = {part for token in self.tokens for part in token.parts}
        found |= {TokenPart(field) for field in self.fields}
        found |= {TokenPart(field, NEAR) for group in self.groups for field in group.fields}
        found |= {TokenPart(field, "number_and_start") for field in self.fields if field == "street"}
        return tuple(sorted(found))


def evidence_of(protocol: LinkageProtocol) -> EvidenceSpec:
    """The evidence that a protocol agrees on: its blocking passes, tokens and filters over all its fields.

    Raises
    ------
    ProtocolError
        E-PROTOCOL when there are more different parts than a comparison can hold.
    """
    rules, passes = protocol.evidence, protocol.blocking.passes
    parts = [*(blocking_pass.parts for blocking_pass in passes), *rules.tokens]
    spec = EvidenceSpec(
        fields=protocol.field_names,
        tokens=tuple(_definition(p) for p in parts),
        passes=len(passes),
        groups=rules.filters,
        rarity_edges=rules.rarity_edges,
        near_q_grams=rules.near_q_grams,
        by_filters=protocol.blocking.candidates != "blocked",
    )
    if len(spec.atoms) > MAX_ATOMS:
        raise ProtocolError(
            found=f"{len(spec.atoms)} different parts in passes, tokens and filters",
            expected=f"at most {MAX_ATOMS}",
        )
    return spec


def _definition(parts: Parts) -> TokenDefinition:
    words = [part.field if part.code == "exact" else f"{part.field}:{part.code}" for part in parts]
    return TokenDefinition("+".join(words), tuple(TokenPart(part.field, part.code) for part in parts))
