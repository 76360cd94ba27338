"""Keys by role and context, and nothing of them in sight."""

import hashlib

import pytest

from linkage_core.custodian.encode_records import RecordEncoder
from linkage_core.custodian.key_derivation import CustodianKeys, derive_custodian_keys
from linkage_core.errors import NightlinkError
from linkage_core.protocol.derived_keys import derive_key
from tests.golden.make_encoder_vectors import LINKAGE_KEY, PROTOCOL, SITE_KEY
from tests.reference.slow_encoder import hkdf_sha256

KEYS = derive_custodian_keys(LINKAGE_KEY, PROTOCOL)


def all_keys(keys: CustodianKeys) -> list[bytes]:
    groups = keys.groups.values()
    positions = [key for group in groups for key in group.positions.values()]
    return [*keys.tokens.values(), *positions, *(group.diffusion for group in groups)]


def test_every_use_has_a_key_of_its_own() -> None:
    keys = all_keys(KEYS)
    assert len(set(keys)) == len(keys) == 15 + (2 + 3) + 2
    assert {len(key) for key in keys} == {32}
    assert len(KEYS.key_check_value) == 8
    assert not any(key.startswith(KEYS.key_check_value) for key in keys)


@pytest.mark.parametrize(
    "change",
    [{"key_epoch": "2027"}, {"project": "another"}, {"version": 2}],
    ids=["epoch", "project", "version"],
)
def test_another_context_gives_unrelated_keys(change: dict[str, object]) -> None:
    other = derive_custodian_keys(LINKAGE_KEY, PROTOCOL.model_copy(update=change))
    assert not set(all_keys(other)) & set(all_keys(KEYS))
    assert other.key_check_value != KEYS.key_check_value


def test_another_linkage_key_shows_in_the_key_check_value() -> None:
    other = derive_custodian_keys(SITE_KEY, PROTOCOL)
    assert other.key_check_value != KEYS.key_check_value
    assert not set(all_keys(other)) & set(all_keys(KEYS))


def test_no_key_shows_in_a_representation() -> None:
    shown = repr(KEYS) + str(RecordEncoder(PROTOCOL, KEYS, SITE_KEY))
    for key in [*all_keys(KEYS), SITE_KEY]:
        assert key.hex() not in shown and repr(key)[2:-1] not in shown


def test_the_parts_of_a_context_do_not_run_together() -> None:
    assert derive_key(LINKAGE_KEY, ("ab", "c")) != derive_key(LINKAGE_KEY, ("a", "bc"))


def test_the_twin_s_hkdf_gives_the_answers_of_rfc_5869() -> None:
    # appendix A.3: no salt, no info
    output = hkdf_sha256(b"\x0b" * 22, b"", 42)
    assert output.hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


@pytest.mark.parametrize("key", [b"", b"\0" * 32, hashlib.sha256(b"x").digest()[:31], bytes(range(32))])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    with pytest.raises(NightlinkError, match="E-KEY-FILE") as caught:
        derive_custodian_keys(key, PROTOCOL)
    assert not key or key.hex() not in str(caught.value)
