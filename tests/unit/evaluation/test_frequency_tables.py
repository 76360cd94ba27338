from __future__ import annotations

from linkage_core.evaluation.frequency_tables import load_frequency_tables


def test_the_tables_hold_what_they_say():
    tables = load_frequency_tables()
    assert tables.surnames[:3].tolist() == ["smith", "johnson", "williams"]
    assert len(tables.surnames) == len(tables.surname_people) == 60_000
    assert tables.surname_people[0] == 2_442_977
    assert len(tables.given_names) == len(tables.given_name_sex) == len(tables.given_name_births)
    assert tables.given_name_births.shape[1] == 10
    assert set(tables.given_name_sex) == {"f", "m"}
    assert len(tables.postcodes) == len(tables.cities) == len(tables.postcode_people)
    assert all(len(postcode) == 5 for postcode in tables.postcodes)
    assert (tables.postcode_people > 1_000).all()
    assert "bob" in tables.nicknames["robert"]
    assert len(set(tables.street_names)) == len(tables.street_names)


def test_every_text_is_lower_case_and_there():
    tables = load_frequency_tables()
    for texts in (tables.surnames, tables.given_names, tables.cities, tables.street_names):
        assert all(text and text == text.lower().strip() for text in texts)
