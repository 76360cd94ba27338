"""Evidence: tokens, group filters, rarity and rates of small columns that one can read."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pyarrow as pa
import pytest

from linkage_core.custodian.blocking_keys import street_start
from linkage_core.custodian.diffusion import diffuse, diffusion_table
from linkage_core.custodian.encode_evidence import encode_evidence
from linkage_core.custodian.field_aggregates import agreement_rate, level_rates, swap_rate
from linkage_core.custodian.field_columns import FieldColumn, protocol_columns
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.rarity_bands import rarity_bands
from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_evidence import check_evidence, concat_evidence, take_evidence
from linkage_core.protocol.evidence_spec import evidence_of
from tests.reference.evidence_specs import evidence_over, protocol_over

FIELDS = ("given_name", "family_name", "birth_date", "sex", "postcode")
PROTOCOL = protocol_over(FIELDS)
SPEC = evidence_of(PROTOCOL)
FIELD_SPECS = {name: PROTOCOL.field(name) for name in FIELDS}
KEY, OTHER_KEY = (sha256(name).digest() for name in (b"one key", b"another key"))


def records(**columns):
    rows = len(next(iter(columns.values())))
    return pa.RecordBatch.from_pydict({n: pa.array(columns.get(n, [None] * rows), pa.utf8()) for n in FIELDS})


PEOPLE = records(
    given_name=["anna", "anna", "smith", None],
    family_name=["smith", "smith", "anna", "smith"],
    birth_date=["19800101", "19800102", "19800101", "19800101"],
    sex=["f", "f", "m", None],
    postcode=["12345", None, "12345", "12345"],
)


def encode(batch, key=KEY, seed=0):
    keys = derive_custodian_keys(key, PROTOCOL)
    return encode_evidence(batch, PROTOCOL, keys, seed=seed, random_pairs=2000)


def column_of(name):
    return [token.name for token in SPEC.tokens].index(name)


def test_a_token_agrees_exactly_when_all_its_parts_do_and_is_null_when_one_is_missing():
    tokens = encode(PEOPLE)[0].tokens
    sexes = tokens[:, column_of("family_name+sex")]
    assert sexes[0] == sexes[1] != sexes[2] and sexes[3] == 0
    assert len(set(tokens[:3, column_of("birth_date+sex")].tolist())) == 3
    assert tokens[1, column_of("family_name+postcode")] == 0


def test_unordered_names_agree_when_swapped():
    swapped = encode(PEOPLE)[0].tokens[:, column_of("names+birth_date")]
    assert swapped[0] == swapped[2] != swapped[1] and swapped[3] == 0


def test_no_token_covers_a_single_field():
    for token in SPEC.tokens:
        fields = {part.field for part in token.parts}
        assert len(fields) > 1 or fields == {"names"}, token.name


def test_definitions_over_absent_fields_are_left_out():
    assert {part.field for t in SPEC.tokens for part in t.parts} <= {*FIELDS, "names"}


def test_evidence_depends_on_the_key_alone_and_on_no_other_row():
    whole, _ = encode(PEOPLE)
    assert np.array_equal(encode(PEOPLE)[0].tokens, whole.tokens)
    alone, _ = encode(PEOPLE.slice(0, 1))
    assert np.array_equal(alone.tokens[0], whole.tokens[0])
    assert all(
        np.array_equal(x[0], y[0]) for x, y in zip(alone.group_filters, whole.group_filters, strict=True)
    )
    other, _ = encode(PEOPLE, key=OTHER_KEY)
    assert not set(other.tokens[0].tolist()) & set(whole.tokens[0].tolist())


def test_group_filters_are_empty_without_one_of_their_fields_and_differ_by_group():
    evidence, aggregates = encode(PEOPLE)
    given_family, given_birth, family_birth = evidence.group_filters
    assert not given_family[3].any() and not given_birth[3].any() and family_birth[3].any()
    assert np.array_equal(given_family[0], given_family[1])
    assert all(0.2 < fill < 0.6 for fill in aggregates.filter_fill)


def test_missing_values_and_sex_have_their_own_code():
    evidence, _ = encode(PEOPLE)
    assert evidence.rarity[3, 0] == 0 and evidence.rarity[0, 0] > 0
    assert evidence.sex.tolist() == [1, 1, 2, 0]


def test_rarity_bands_put_common_values_first_and_publish_their_agreement():
    common, rare = 500, 500
    rows = np.concatenate([np.zeros(common, np.intp), np.arange(1, rare + 1), [-1]])
    values = pa.array([f"v{i}" for i in range(rare + 1)])
    bands = rarity_bands(FieldColumn(rows, values), (-1.5, 1.5))
    assert bands.band_of_row[0] < bands.band_of_row[600] == 3 and bands.band_of_row[-1] == 0
    assert bands.agreement[2] == pytest.approx(1 / 1000)


def test_a_small_band_joins_its_neighbour():
    rows = np.concatenate([np.zeros(500, np.intp), np.arange(1, 6)])
    bands = rarity_bands(FieldColumn(rows, pa.array([f"v{i}" for i in range(6)])), (-1.5, 1.5))
    assert set(bands.band_of_row.tolist()) == {2}


def test_rates_add_up_and_exact_agreement_is_computed():
    columns = protocol_columns(PEOPLE, PROTOCOL)
    rates = level_rates(columns, SPEC, FIELD_SPECS, seed=1, random_pairs=2000)
    for name, field_rates in zip(FIELDS, rates, strict=True):
        assert len(field_rates) == len(SPEC.level_names(name))
        assert sum(field_rates) == pytest.approx(1)
    assert agreement_rate(columns["given_name"].value_of_row) == pytest.approx(1 / 3)
    assert swap_rate(columns, "exact") == pytest.approx((2 / 3 * 1 / 4 + 1 / 3 * 3 / 4) ** 2)


def test_a_field_without_values_has_equal_rates():
    batch = records(given_name=["ann", "bob"], family_name=["x", "y"])
    rates = level_rates(protocol_columns(batch, PROTOCOL), SPEC, FIELD_SPECS, seed=1, random_pairs=10)
    assert rates[FIELDS.index("postcode")] == pytest.approx((1 / 2,) * 2)


def test_parts_join_and_rows_are_taken_in_order():
    evidence, _ = encode(PEOPLE)
    parts = [take_evidence(evidence, np.array(rows, np.intp)) for rows in ([0, 1], [2, 3])]
    assert np.array_equal(concat_evidence(parts).tokens, evidence.tokens)
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        concat_evidence([])


def test_nothing_shows_an_encoding_or_a_key():
    evidence, _ = encode(PEOPLE)
    assert repr(evidence) == f"EncodedEvidence(4 records, {len(SPEC.tokens)} tokens, 3 filters, 5 fields)"
    assert KEY.hex() not in repr(derive_custodian_keys(KEY, PROTOCOL))


def test_wrong_widths_are_refused():
    evidence, _ = encode(PEOPLE)
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        check_evidence(evidence, evidence_over(FIELDS[:3]))


@pytest.mark.parametrize("sizes", [(100, 128, 4), (128, 100, 4), (128, 128, 0), (64, 64, 17)])
def test_diffusion_refuses_sizes_that_do_not_fit(sizes):
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        diffusion_table(KEY, *sizes)


def test_diffusion_refuses_a_table_of_longer_filters():
    table = diffusion_table(KEY, 256, 64, 4)
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        diffuse(np.zeros((2, 2), np.uint64), table)
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        diffuse(np.zeros((2, 4), np.int64), table)
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        diffuse(np.zeros((2, 4), np.uint64), table.astype(np.int64))


@pytest.mark.parametrize(
    ("street", "start"),
    [
        ("12 n mill creek rd", "mill"),
        ("la perouse st", "lape"),
        ("89", None),
        ("5 st", None),
        ("1 oak st", "oak"),
    ],
)
def test_start_of_a_street(street, start):
    assert street_start(street) == start
