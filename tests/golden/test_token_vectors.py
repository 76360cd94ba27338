"""The forms of tokens: known answers, stored, reviewed, never changed in passing; and the slow twin agrees."""

import json

from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.text_columns import raw_batch
from linkage_core.custodian.token_forms import choose_definitions
from tests.golden.make_encoder_vectors import LINKAGE_KEY, PROTOCOL, RAW_RECORDS, SITE_KEY, SOURCE_FORMAT
from tests.golden.make_token_vectors import (
    DEFINITIONS,
    TOKENS_KEY,
    TRANSFER_KEY,
    UNIT_KEY,
    VECTORS_FILE,
    token_vectors,
)
from tests.reference.slow_encoder import slow_pseudonym
from tests.reference.slow_token_forms import (
    slow_project_form,
    slow_site_form,
    slow_token_value,
    slow_transfer_form,
)


def test_the_forms_of_tokens_are_the_stored_vectors() -> None:
    assert token_vectors() == json.loads(VECTORS_FILE.read_text(encoding="utf-8"))


def test_the_slow_twin_gives_the_stored_vectors() -> None:
    stored = json.loads(VECTORS_FILE.read_text(encoding="utf-8"))
    columns = {name: [record[name] for record in RAW_RECORDS] for name in RAW_RECORDS[0]}
    records = normalise_batch(raw_batch(columns), PROTOCOL, SOURCE_FORMAT).records.to_pylist()
    by_pseudonym = {
        slow_pseudonym(SITE_KEY, r["source_id"], PROTOCOL.project, PROTOCOL.key_epoch).hex(): r
        for r in records
    }
    assert stored["record_pseudonyms"] == sorted(by_pseudonym)
    definitions = choose_definitions(PROTOCOL, DEFINITIONS)
    assert sorted(stored["site"]) == sorted(d.name for d in definitions)
    nulls = 0
    for definition in definitions:
        for i, pseudonym in enumerate(stored["record_pseudonyms"]):
            token = slow_token_value(by_pseudonym[pseudonym], definition, PROTOCOL, LINKAGE_KEY)
            found = [stored[form][definition.name][i] for form in ("site", "transfer", "project")]
            if token is None:
                assert found == [None] * 3
                nulls += 1
                continue
            assert found == [
                slow_site_form(token, definition.name, PROTOCOL, SITE_KEY).hex(),
                slow_transfer_form(token, definition.name, PROTOCOL, TRANSFER_KEY, UNIT_KEY).hex(),
                slow_project_form(token, definition.name, PROTOCOL, TOKENS_KEY).hex(),
            ]
    assert 0 < nulls < len(definitions) * len(records)
