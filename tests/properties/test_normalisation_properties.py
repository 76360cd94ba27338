"""For any text: normalising never fails, is idempotent, and does not tell composed from decomposed."""

import unicodedata

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linkage_core.custodian import value_normalisers
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import CANONICAL_FORMAT, SourceFormat
from linkage_core.custodian.text_columns import raw_batch
from linkage_core.custodian.text_folding import fold_to_ascii
from linkage_core.custodian.value_normalisers import normalise_phone, value_normaliser
from linkage_core.protocol.linkage_protocol import FieldKind
from tests.golden.make_encoder_vectors import PROTOCOL

KINDS: tuple[FieldKind, ...] = ("name", "date", "sex", "text", "postcode", "phone", "email")
CAPS = {"name": 64, "date": 8, "sex": 1, "text": 100, "postcode": 12, "phone": 20, "email": 254}

AWKWARD_WORDS = """
mr dr jr iii o' van der st street and p o box post office north unknown test baby boy xx no fixed abode n/a ( ) - . ,
+ @ ' # 0 00 12 12a 12345-6789 999999999 1958 0304 19000101 a.b@c.org +1 (212) 555-0123 x9 é ß 한 가 İ
"""
WORDS = st.sampled_from(AWKWARD_WORDS.split())
ANY_TEXT = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(codec="ascii")),
    st.lists(WORDS, max_size=8).map(" ".join),
    st.lists(WORDS, max_size=5).map("".join),
    st.builds(lambda text, times: text * times, st.text(max_size=5), st.integers(0, 600)),
)


@pytest.mark.parametrize("kind", KINDS)
@given(ANY_TEXT)
@settings(max_examples=3000, deadline=None)
def test_normalising_is_total_idempotent_capped_and_plain(kind: FieldKind, text: str) -> None:
    normalise = value_normaliser(kind, CANONICAL_FORMAT)
    once = normalise(text)
    if once is not None:
        assert normalise(once) == once
        assert 0 < len(once) <= CAPS[kind]
        assert once.isascii() and once == once.strip() == once.lower() and once.isprintable()


@pytest.mark.parametrize("kind", KINDS)
@given(ANY_TEXT)
@settings(max_examples=80, deadline=None)
def test_composed_and_decomposed_text_normalise_alike(kind: FieldKind, text: str) -> None:
    normalise = value_normaliser(kind, CANONICAL_FORMAT)
    forms = {normalise(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len(forms) == 1


@given(ANY_TEXT)
@settings(max_examples=300, deadline=None)
def test_folding_is_idempotent(text: str) -> None:
    assert fold_to_ascii(fold_to_ascii(text)) == fold_to_ascii(text)


@given(st.from_regex(r"\+?1?[ .(-]*[0-9]{3}\)?[ .-]*[0-9]{3}[ .-]*[0-9]{4}", fullmatch=True))
@settings(max_examples=300, deadline=None)
@example("12125550123")
@example("+12125550123")
def test_the_short_way_with_a_north_american_number_is_the_library_s_way(text: str) -> None:
    try:
        parsed = phonenumbers.parse(text, "US")
        possible = (
            phonenumbers.is_possible_number_with_reason(parsed) == phonenumbers.ValidationResult.IS_POSSIBLE
        )
        slow = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) if possible else None
    except phonenumbers.NumberParseException:
        slow = None
    fast = normalise_phone(fold_to_ascii(text), "US")
    if fast is not None:
        assert fast == slow
    elif value_normalisers._NORTH_AMERICAN.fullmatch(fold_to_ascii(text)):
        assert value_normalisers._is_placeholder_number(slow or "")


RECORDS = st.lists(
    st.fixed_dictionaries(
        {"source_id": st.uuids().map(str)}
        | {name: st.one_of(st.none(), ANY_TEXT, st.binary(max_size=20)) for name in PROTOCOL.field_names}
    ),
    min_size=1,
    max_size=5,
)


@given(RECORDS)
@settings(max_examples=60, deadline=None)
def test_a_batch_of_anything_normalises_and_then_stays(records: list[dict[str, str | bytes | None]]) -> None:
    batch = raw_batch({name: [record[name] for record in records] for name in records[0]})
    once = normalise_batch(batch, PROTOCOL, SourceFormat(date_formats=("%d/%m/%Y",)))
    again = normalise_batch(once.records, PROTOCOL, CANONICAL_FORMAT)
    assert again.records.equals(once.records)
    assert set(again.changed.values()) == set(again.emptied.values()) == {0}
    assert again.missing == once.missing
    assert once.records.schema.names == ["source_id", *PROTOCOL.field_names]
    assert set(once.records.schema.types) == {pa.utf8()}
