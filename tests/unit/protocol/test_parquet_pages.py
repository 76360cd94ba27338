"""The walk over page headers, header byte by header byte."""

# ruff: noqa: E501  (tables: one case a line)

from __future__ import annotations

import pytest

from linkage_core.errors import NightlinkError
from linkage_core.protocol.parquet_pages import PageTotals, walk_pages

# type = data page, uncompressed 3, compressed 2, {5 values, plain, RLE, RLE}; then a body of two bytes.
HEADER = bytes.fromhex("1500 1506 1504 2c 150a 1500 1506 1506 00 00")
PAGE = HEADER + b"ab"


def test_claims_are_added_up() -> None:
    data = b"PAR1" + PAGE + PAGE + b"rest"
    assert walk_pages(data, 4, 2 * len(PAGE)) == PageTotals(10, 2 * (len(HEADER) + 3))


def test_no_pages_are_no_values() -> None:
    assert walk_pages(b"PAR1", 4, 0) == PageTotals(0, 0)


MISTAKES = {
    "a dictionary page": (HEADER.replace(b"\x15\x00\x15\x06\x15\x04", b"\x15\x04\x15\x06\x15\x04", 1), "another kind"),
    "another encoding": (HEADER.replace(b"\x15\x0a\x15\x00", b"\x15\x0a\x15\x0a"), "a page in another encoding"),
    "no values": (HEADER.replace(b"\x15\x0a\x15\x00", b"\x15\x00\x15\x00"), "a count or size that cannot be"),
    "minus one value": (HEADER.replace(b"\x15\x0a\x15\x00", b"\x15\x01\x15\x00"), "a count or size that cannot be"),
    "a negative size": (HEADER.replace(b"\x15\x06\x15\x04", b"\x15\x05\x15\x04", 1), "a count or size that cannot be"),
    "a size that is not said": (HEADER.replace(b"\x15\x06\x15\x04\x2c", b"\x15\x06\x3c", 1), "that cannot be"),
    "a long field step": (b"\x05\x02\x00" + HEADER[2:], "a field number out of order"),
    "another field": (HEADER[:-1] + b"\x15\x00\x00", "a field that is not agreed"),
    "a string": (b"\x18" + HEADER[1:], "a page of another kind"),
    "statistics": (HEADER[:-2] + b"\x1c\x18\x01\x41\x00\x00\x00", "a field that is not agreed"),
    "six bytes of a number": (b"\x15" + b"\x80" * 6 + b"\x00" + HEADER[2:], "a number that does not end"),
    "a checksum of another type": (HEADER[:6] + b"\x16\x00\x1c" + HEADER[7:], "a checksum of another type"),
    "a page beyond the column": (HEADER.replace(b"\x15\x06\x15\x04", b"\x15\x06\x15\x06", 1), "beyond its column"),
}  # fmt: skip


@pytest.mark.parametrize(("header", "phrase"), MISTAKES.values(), ids=MISTAKES.keys())
def test_other_headers_are_refused(header: bytes, phrase: str) -> None:
    data = header + b"ab"
    with pytest.raises(NightlinkError, match=phrase) as caught:
        walk_pages(data, 0, len(data))
    assert caught.value.code == "E-DLV-FORMAT"


@pytest.mark.parametrize("length", range(1, len(PAGE)))
def test_a_header_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(NightlinkError, match="E-DLV-FORMAT"):
        walk_pages(PAGE, 0, length)


def test_empty_statistics_are_let_pass() -> None:
    page = HEADER[:-2] + b"\x1c\x00\x00\x00" + b"ab"
    assert walk_pages(page, 0, len(page)).values == 5
