"""Every mistake that one can make in deployments/linkage_protocol.toml, and what one is told."""

# ruff: noqa: E501

from __future__ import annotations

import re
from pathlib import Path

import pytest

from linkage_core.errors import ProtocolError
from linkage_core.protocol.linkage_protocol import parse_protocol

GOOD = (Path(__file__).parents[2] / "deployments" / "linkage_protocol.toml").read_text(encoding="utf-8")

PASS_FOUR = 'parts = ["birth_date:year_digit_month_day", "sex"]'
PASS_LAST = 'parts = ["street:house_number", "street:street_start"]'
TABLE = GOOD[GOOD.index("[nickname_table]") : GOOD.index("# Pairs that agree")]
GIVEN = 'name = "given_name"\nkind = "name"'
TOKEN = '["birth_date", "sex"],'
GROUP = 'fields = ["given_name", "family_name"]'
DIGITS = "9" * 5000

# fmt: off
MISTAKES: list[tuple[str, str, str, str]] = [
    # One mistake a line: what was done, a text in the file, what replaces it, what the message says
    # the file as a whole
    ("not TOML", "version = 1", "version 1", "found text that is not TOML: Expected '=' after a key"),
    ("a table twice", "[decision]", "[evidence]", "found text that is not TOML: Cannot declare"),
    ("an entry twice", "version = 1", "version = 1\nversion = 2", "Cannot overwrite a value"),
    ("nested too deep", "version = 1", "version = " + "[" * 5000, "lists or tables nested too deeply"),
    ("an endless number", "version = 1", f"version = {DIGITS}", "found a number too long to read"),
    # the head
    ("another format", '"nightlink-protocol-1"', '"v2"', "found format = 'v2'; expected 'nightlink-protocol-1'"),
    ("no format", 'format = "nightlink-protocol-1"', "", "found no entry format; expected it to be set"),
    ("project in capitals", '"discharge_followup"', '"Discharge"', "found project = 'Discharge'; expected 1 to 40"),
    ("project a number", '"discharge_followup"', "7", "found project = 7; expected a text in quotes"),
    ("version zero", "version = 1\nkey", "version = 0\nkey", "found version = 0; expected at least 1"),
    ("version a text", "version = 1\nkey", 'version = "1"\nkey', "version = '1'; expected a whole number"),
    ("version a fraction", "version = 1\nkey", "version = 1.5\nkey", "version = 1.5; expected a whole number"),
    ("version true", "version = 1\nkey", "version = true\nkey", "version = true; expected a whole number"),
    ("version a date", "version = 1\nkey", "version = 2026-01-01\nkey", "version = 2026-01-01; expected a whole"),
    ("version too large", "version = 1\nkey", "version = 9007199254740993\nkey", "expected at most 1000000"),
    ("epoch with a slash", '"2026"', '"20/26"', "found key_epoch = '20/26'; expected 1 to 40 of A-Z, a-z, 0-9"),
    ("epoch of dots", '"2026"', '".."', "found key_epoch = '..'; expected 1 to 40 of A-Z, a-z, 0-9"),
    ("epoch a number", '"2026"', "2026", "found key_epoch = 2026; expected a text in quotes"),
    ("epoch missing", 'key_epoch = "2026"', "", "found no entry key_epoch"),
    ("unknown normaliser", "normaliser_version = 1", "normaliser_version = 2", "normaliser_version = 2; expected at most 1"),
    ("normaliser true", "normaliser_version = 1", "normaliser_version = true", "normaliser_version = true; expected a whole number"),
    ("normaliser 1.0", "normaliser_version = 1", "normaliser_version = 1.0", "normaliser_version = 1.0; expected a whole number"),
    ("one custodian", '["hospital", "pharmacy"]', '["hospital"]', "custodians = a list of 1; expected at least 2 items"),
    ("an unknown resolution", "possible = 0.25", 'possible = 0.25\nresolution = "best"', "decision.resolution = 'best'"),
    ("a custodian twice", '["hospital", "pharmacy"]', '["gp", "gp"]', "found the custodian gp twice"),
    ("custodians a text", '["hospital", "pharmacy"]', '"hospital"', "custodians = 'hospital'; expected a list"),
    ("a custodian a number", '["hospital", "pharmacy"]', '["gp", 3]', "custodians[2] = 3; expected a text in quotes"),
    ("a misspelt entry", "key_epoch", "key_epok", "unknown entry key_epok (did you mean key_epoch?); expected one of"),
    ("a strange entry", "version = 1\nkey", "'O x' = 1\nversion = 1\nkey", "the unknown entry 'O x'; expected one of"),
    # the fields
    ("bits of a field", GIVEN, GIVEN + "\nbits = 110", "the unknown entry fields.given_name.bits; expected one of name"),
    ("a field without kind", GIVEN, GIVEN.replace('kind = "name"', ""), "found no entry fields.given_name.kind"),
    ("a field without name", GIVEN, 'kind = "name"', "found no entry fields[1].name"),
    ("an unknown kind", 'kind = "sex"', 'kind = "gender"', "fields.sex.kind = 'gender'; expected 'name', 'date'"),
    ("q of zero", "q = 1", "q = 0", "fields.sex.q = 0; expected at least 1"),
    ("q too large", "q = 1", "q = 5", "fields.sex.q = 5; expected at most 4"),
    ("a field name in capitals", '"middle_name"', '"Middle"', "fields[2].name = 'Middle'; expected 1 to 40 of a-z"),
    ("a field twice", '"middle_name"', '"given_name"', "found the field given_name twice; expected each field once"),
    ("no birth date", 'name = "birth_date"', 'name = "born"', "found no field birth_date; expected the fields given_name"),
    ("birth date as text", 'kind = "date"', 'kind = "text"', "the field birth_date of kind text; expected kind date"),
    ("fields a text", "", "fields = 'all'", "fields = 'all'; expected a list"),
    ("no fields", "", "fields = []", "fields = a list of 0; expected at least 1 item"),
    ("a field a text", "", "fields = ['given_name']", "fields[1] = 'given_name'; expected a table"),
    # the blocking passes
    ("a pass of one part", PASS_FOUR, 'parts = ["given_name:soundex"]', "birth_digits_sex over given_name alone; expected parts of at least two fields"),
    ("parts a text", PASS_FOUR, 'parts = "given_name"', "birth_digits_sex.parts = 'given_name'; expected a list"),
    ("a part a number", PASS_FOUR, 'parts = ["sex", 1]', "birth_digits_sex.parts[2] = 1; expected a text such as 'family_name:soundex'"),
    ("parts missing", PASS_FOUR, "", "found no entry blocking.passes.birth_digits_sex.parts"),
    ("an unknown code", PASS_FOUR, 'parts = ["sex", "given_name:metaphone"]', "the unknown blocking code 'metaphone' in"),
    ("an empty code", PASS_FOUR, 'parts = ["sex", "given_name:"]', "the unknown blocking code '' in blocking.passes.birth"),
    ("a code too many", PASS_FOUR, 'parts = ["sex", "given_name:exact:exact"]', "the unknown blocking code 'exact:exact'"),
    ("no field before it", PASS_FOUR, 'parts = ["sex", ":exact"]', "parts[2].field = ':exact'; expected 1 to 40 of a-z"),
    ("an undeclared field", PASS_FOUR, 'parts = ["sex", "maiden_name"]', "birth_digits_sex over maiden_name, which is no field"),
    ("Soundex of a date", PASS_FOUR, 'parts = ["sex", "birth_date:soundex"]', "soundex of birth_date, a field of kind date"),
    ("two codes of one field", PASS_FOUR, 'parts = ["birth_date:year", "birth_date:month_day"]', "birth_digits_sex over birth_date alone; expected parts of at least two fields"),
    ("no parts", PASS_FOUR, "parts = []", "birth_digits_sex.parts = a list of 0; expected at least 1"),
    ("a date as a name", PASS_FOUR, 'parts = ["names:year"]', "taking year of names, a field of kind name"),
    ("a part twice", PASS_FOUR, 'parts = ["sex", "sex:exact"]', "a part twice in the blocking pass birth_digits_sex"),
    ("a pass again", PASS_LAST, PASS_FOUR, "birth_digits_sex and the blocking pass house_number_street of the same parts"),
    ("a pass name twice", '"both_sounds"', '"family_postcode"', "the blocking pass family_postcode twice"),
    ("a pass name with a dot", '"both_sounds"', '"both.sounds"', "blocking.passes[6].name = 'both.sounds'"),
    ("a misspelt pass entry", PASS_FOUR, PASS_FOUR.replace("parts", "fields"), "blocking.passes.birth_digits_sex.fields"),
    ("no pairs in a block", "max_block_pairs = 200_000", "max_block_pairs = 0", "blocking.max_block_pairs = 0; expected at least 1"),
    ("a block over the budget", "100_000_000", "100", "max_block_pairs = 200000 in blocking; expected at most pair_budget = 100"),
    ("a budget of text", "100_000_000", '"many"', "blocking.pair_budget = 'many'; expected a whole number"),
    ("a street alone", PASS_LAST, 'parts = ["street"]', "house_number_street over street alone; expected parts of at least two fields, or two parts of an address"),
    ("nicknames of a date", PASS_FOUR, 'parts = ["sex", "birth_date:nickname"]', "taking nickname of birth_date, a field of kind date"),
    ("another mode", "partners_per_record = 22", 'candidates = "lsh"', "blocking.candidates = 'lsh'; expected 'blocked', 'top_k' or"),
    ("no neighbour", "partners_per_record = 22", "nearest = 0", "blocking.nearest = 0; expected at least 1"),
    ("a similarity above 1", "partners_per_record = 22", "similarity = 1.5", "blocking.similarity = 1.5; expected at most 1"),
    ("no room for partners", "partners_per_record = 22", "partners_per_record = 0", "blocking.partners_per_record = 0; expected at least 1"),
    ("room as a text", "partners_per_record = 22", 'partners_per_record = "22"', "blocking.partners_per_record = '22'; expected a whole number"),
    ("a field called names", 'name = "middle_name"', 'name = "names"', "found a field called names; expected another name"),
    # the nickname table
    ("no nickname table", TABLE, "", "taking nickname_sound, but no nickname_table; expected the table's version and sha256"),
    ("a table without digest", TABLE, '[nickname_table]\nversion = "us_1"\n', "found no entry nickname_table.sha256"),
    ("a table without version", 'version = "us_1"', "", "found no entry nickname_table.version"),
    ("a digest cut short", 'sha256 = "9be3', 'sha256 = "9', "expected a SHA-256 as 64 hex digits, lower case"),
    ("a misspelt table entry", 'sha256 = "9be3', 'sha265 = "9be3', "unknown entry nickname_table.sha265 (did you mean sha256?)"),
    # the evidence
    ("no evidence", "[evidence]", "[blocking.evidence]", "found the unknown entry blocking.evidence"),
    ("tokens missing", "tokens = [", "token = [", "unknown entry evidence.token (did you mean tokens?)"),
    ("a token a text", TOKEN, '"given_name",', "evidence.tokens[1] = 'given_name'; expected a list"),
    ("a token of one field", TOKEN, '["given_name"],', "the evidence token 1 over given_name alone; expected parts of at least two"),
    ("a token of an absent field", TOKEN, '["given_name", "born"],', "the evidence token 1 over born, which is no field"),
    ("a token of an unknown code", TOKEN, '["given_name", "born:day"],', "the unknown blocking code 'day' in evidence.tokens[1]"),
    ("a code of another kind", TOKEN, '["given_name:year", "sex"],', "the evidence token 1 taking year of given_name"),
    ("a token twice", TOKEN, TOKEN + TOKEN, "the evidence token 1 and the evidence token 2 of the same parts"),
    ("a pass as a token", TOKEN, '["sex", "given_name"],', "the blocking pass given_sex and the evidence token 1 of the same"),
    ("a part twice in a token", TOKEN, '["sex", "birth_date", "sex"],', "a part twice in the evidence token 1"),
    ("edges that fall", "[-1.5, 1.5]", "[1.5, -1.5]", "edges that do not ascend in evidence.rarity_edges"),
    ("an edge that is no number", "[-1.5, 1.5]", "[nan]", "evidence.rarity_edges[1] = nan; expected"),
    ("near of nothing", "near_q_grams = 5.0", "near_q_grams = 0.0", "evidence.near_q_grams = 0.0; expected more than 0"),
    ("a filter of one field", GROUP, 'fields = ["given_name"]', "filters.given_family.fields = a list of 1; expected at least 2"),
    ("a filter of an absent field", GROUP, 'fields = ["given_name", "born"]', "the evidence filter given_family over born, which"),
    ("a field twice in a filter", GROUP, 'fields = ["sex", "sex"]', "a field twice in the evidence filter given_family"),
    ("a filter name twice", '"given_birth"', '"given_family"', "the evidence filter given_family twice"),
    ("an odd filter length", "bits = 512", "bits = 500", "found 500 in evidence.filters.given_family.bits; expected one of 256"),
    ("an odd diffused length", "diffused_bits = 2048", "diffused_bits = 2000", "found 2000 in evidence.filters.given_family.diffused_bits"),
    ("too little diffusion", "terms = 8", "terms = 5", "filters.given_family.terms = 5; expected at least 6"),
    ("an overfull filter", "field_bits = 200", "field_bits = 300", "found fields of 600 bits together in evidence.filters.given_family"),
    ("q-gram bits zero", "q_gram = 20", "q_gram = 0", "bits_per_q_gram = 0; expected at least 1"),
    ("a hardening that fell", "terms = 8", 'hardening = "blip"', "given_family with the hardening blip, which fell to attacks; expected diffusion, or"),
    ("an unknown hardening", "terms = 8", 'hardening = "rot13"', "filters.given_family.hardening = 'rot13'; expected 'diffusion', 'fourier_signs'"),
    ("every bit flipped", "terms = 8", "flips = 256", "filters.given_family.flips = 256; expected at most 127"),
    ("an absent field as salt", "terms = 8", 'salt = "born:year"', "the salt of the evidence filter given_family over born, which"),
    ("a salt of another kind", "terms = 8", 'salt = "sex:year"', "the salt of the evidence filter given_family taking year of sex"),
    ("unsafe in words", "key_epoch =", 'unsafe = "no"\nkey_epoch =', "unsafe = 'no'; expected true or false"),
    ("a misspelt filter entry", "terms = 8", "term = 8", "filters.given_family.term (did you mean terms?)"),
    # the decision
    ("thresholds crossed", "possible = 0.25", "possible = 0.995", "possible = 0.995 in decision; expected at most target_precision"),
    ("a target of one", "precision = 0.99", "precision = 1.0", "decision.target_precision = 1.0; expected less than 1"),
    ("a target below one half", "precision = 0.99", "precision = 0.3", "decision.target_precision = 0.3; expected at least 0.5"),
    ("a Dice threshold", "possible = 0.25", "possible = 0.25\nmatch = 0.8", "the unknown entry decision.match"),
    ("a threshold of zero", "possible = 0.25", "possible = 0.0", "decision.possible = 0.0; expected more than 0"),
    ("a threshold of text", "precision = 0.99", 'precision = "high"', "decision.target_precision = 'high'; expected a number"),
    ("a threshold true", "precision = 0.99", "precision = true", "decision.target_precision = true; expected a number"),
    ("a threshold that is no number", "precision = 0.99", "precision = nan", "decision.target_precision = nan; expected"),
    ("an endless threshold", "precision = 0.99", "precision = inf", "decision.target_precision = inf; expected"),
    ("a threshold missing", "target_precision = 0.99", "", "found no entry decision.target_precision"),
    ("no decision", "[decision]\ntarget_precision = 0.99\npossible = 0.25", "", "found no entry decision"),
]
# fmt: on


def test_the_deployed_protocol_is_good() -> None:
    assert parse_protocol(GOOD).project == "discharge_followup"


def _spoil(old: str, new: str) -> str:
    """Replace ``old`` wherever it is; an entry with nothing to replace takes the place of all [[fields]]."""
    if old:
        assert old in GOOD, "the table above no longer fits the deployed protocol"
        return GOOD.replace(old, new)
    head, rest = GOOD.split("[[fields]]", 1)
    return head + new + "\n" + re.sub(r"\[\[fields\]\][^\[]*", "", "[[fields]]" + rest)


@pytest.mark.parametrize(
    ("old", "new", "phrase"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_gets_one_clear_sentence(old: str, new: str, phrase: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_protocol(_spoil(old, new))
    message = str(caught.value)
    assert phrase in message
    assert caught.value.code == "E-PROTOCOL"
    assert message.startswith("E-PROTOCOL: found ") and "\n" not in message
    assert "Input should" not in message and "Value error" not in message
    assert message.endswith("Correct the linkage protocol file.")
