"""One error tree: registered codes only, and a message of three parts."""

from __future__ import annotations

import pytest

from linkage_core.errors import ERROR_CODES, NightlinkError, ProtocolError


def test_a_message_says_code_what_was_found_what_was_expected_and_what_to_do() -> None:
    error = NightlinkError("E-INPUT", found="2 rows", expected="3", remedy="Add one.", transient=True)
    assert str(error) == "E-INPUT: found 2 rows; expected 3. Add one."
    assert (error.code, error.transient) == ("E-INPUT", True)
    assert ProtocolError(found="x", expected="y").code == "E-PROTOCOL"


def test_a_code_that_is_not_registered_cannot_be_raised() -> None:
    with pytest.raises(KeyError, match="E-NEW is not registered"):
        NightlinkError("E-NEW", found="x", expected="y", remedy="z")


def test_codes_and_their_meanings_are_told_apart() -> None:
    assert all(code.startswith("E-") and code == code.upper() for code in ERROR_CODES)
    assert len(set(ERROR_CODES.values())) == len(ERROR_CODES)
