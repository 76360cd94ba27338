"""Files of CLKs in the JSON of clkhash and anonlink, read strictly and written as they write them. Zone: linkage_unit.

Three forms are read: ``{"clks": [CLK, ...]}`` (clkhash), ``{"clknblocks": [[CLK, BLOCK, ...], ...]}`` and
``{"encodings": [CLK, ...], "blocks": {"0": [BLOCK, ...], ...}}`` (both anonlink-entity-service, which names a
record by its place). A CLK is base64 of its bytes, bit 0 the most significant bit of byte 0; line breaks inside,
which old versions of clkhash wrote, are allowed. A file is somebody else's: nothing of it is quoted in an error.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError

MOST_CLK_BYTES = 1 << 14
"""A CLK of more bits than 131,072 is a mistake, and a million of them would exhaust the machine."""
MOST_BLOCKS_A_RECORD = 1000
_WORD_BYTES = 8
_FORMS = ("clks", "clknblocks", "encodings")
_ENTRIES = (*_FORMS, "blocks", "meta")

Blocks = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ClkDocument:
    """One party's CLKs, in the order of the file.

    Attributes
    ----------
    filters : ndarray of uint64, shape (n, words)
        The CLKs' bytes, padded with zero bytes to whole words; Dice does not see the padding.
    clk_bytes : int
        Bytes of one CLK; 0 in an empty document.
    blocks : tuple of tuple of str, length n, optional
        The identifiers of each record's blocks; None where the file has none.
    """

    filters: npt.NDArray[np.uint64] = field(repr=False)
    clk_bytes: int
    blocks: Blocks | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.filters)


def interchange_error(found: str, expected: str, remedy: str = "Make the file again.") -> NightlinkError:
    """E-INTERCHANGE; neither text may hold a value of the file."""
    return NightlinkError("E-INTERCHANGE", found=found, expected=expected, remedy=remedy)


def parse_clk_document(data: bytes, name: str) -> ClkDocument:
    """Read a file of CLKs.

    Parameters
    ----------
    data : bytes
        The whole file. Parsing takes about five times its size in memory; callers bound the size.
    name : str
        What errors call the file.

    Raises
    ------
    NightlinkError
        E-INTERCHANGE for text that is no such JSON, an entry twice, a CLK that is no base64, or CLKs of
        unequal lengths; it names the entry and its number, never its content.
    """
    document = _load(data, name)
    for entry in document:
        if entry not in _ENTRIES:
            raise interchange_error(f"an unknown entry in {name}", f"only {', '.join(_ENTRIES)}")
    forms = [form for form in _FORMS if form in document]
    if len(forms) != 1:
        raise interchange_error(f"{len(forms)} lists of CLKs in {name}", f"one of {', '.join(_FORMS)}")
    entries = document[forms[0]]
    if not isinstance(entries, list):
        raise interchange_error(f"{forms[0]} that is no list, in {name}", "a list of CLKs")
    if forms[0] == "clknblocks":
        _refuse_blocks(document, name)
        return _pack([_first(entry, k, name) for k, entry in enumerate(entries)], name, _rests(entries, name))
    blocks = _block_map(document["blocks"], len(entries), name) if "blocks" in document else None
    return _pack(entries, name, blocks)


def write_clk_document(document: ClkDocument) -> Iterator[bytes]:
    """The document as JSON, piece by piece: ``clknblocks`` where it has blocks, else ``clks``.

    A document without blocks comes out as ``nightlink custodian encode`` and clkhash write it.
    """
    clks = filters_as_bytes(document.filters, document.clk_bytes)
    yield b'{"clks": [' if document.blocks is None else b'{"clknblocks": ['
    for k in range(len(document)):
        text: Any = base64.b64encode(clks[k].tobytes()).decode()
        if document.blocks is not None:
            text = [text, *document.blocks[k]]
        yield (b", " if k else b"") + json.dumps(text).encode()
    yield b"]}"


def filters_as_bytes(filters: npt.NDArray[np.uint64], clk_bytes: int) -> npt.NDArray[np.uint8]:
    """The bytes of filters without their padding: uint8, shape (n, clk_bytes)."""
    rows = np.ascontiguousarray(filters).view(np.uint8).reshape(len(filters), _WORD_BYTES * filters.shape[1])
    return rows[:, :clk_bytes]


def _load(data: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_each_once)
    except RecursionError:
        raise interchange_error(f"lists nested too deeply in {name}", "a list of CLKs") from None
    except UnicodeDecodeError:
        raise interchange_error(f"bytes that are not UTF-8 in {name}", "JSON text") from None
    except json.JSONDecodeError as error:
        raise interchange_error(f"text that is not JSON at character {error.pos} of {name}", "JSON") from None
    except ValueError:  # an entry twice, or a number of thousands of digits
        raise interchange_error(f"an entry twice, or a number too long, in {name}", "each once") from None
    if not isinstance(document, dict):
        raise interchange_error(f"JSON that is no object in {name}", 'such as {"clks": [...]}')
    return document


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("an entry twice")
    return table


def _pack(clks: list[Any], name: str, blocks: Blocks | None) -> ClkDocument:
    decoded = [_decode(clk, k, name) for k, clk in enumerate(clks)]
    size = len(decoded[0]) if decoded else 0
    for k, clk in enumerate(decoded):
        if len(clk) != size:
            raise interchange_error(f"CLK {k} of {len(clk)} bytes in {name}", f"{size} bytes, as CLK 0")
    rows = np.zeros((len(decoded), max(-(-size // _WORD_BYTES), 1) * _WORD_BYTES), np.uint8)
    rows[:, :size] = np.frombuffer(b"".join(decoded), np.uint8).reshape(len(decoded), size)
    return ClkDocument(rows.view(np.uint64), size, blocks)


def _decode(clk: Any, number: int, name: str) -> bytes:
    if not isinstance(clk, str):
        raise interchange_error(f"CLK {number} that is no text, in {name}", "base64")
    try:
        decoded = binascii.a2b_base64(clk.replace("\n", ""), strict_mode=True)
    except (binascii.Error, ValueError):
        raise interchange_error(f"CLK {number} that is no base64, in {name}", "base64") from None
    if not 0 < len(decoded) <= MOST_CLK_BYTES:
        raise interchange_error(f"CLK {number} of {len(decoded)} bytes in {name}", f"1 to {MOST_CLK_BYTES}")
    return decoded


def _first(entry: Any, number: int, name: str) -> Any:
    if not isinstance(entry, list) or not entry:
        raise interchange_error(
            f"entry {number} of clknblocks that is no list, in {name}", "[CLK, BLOCK, ...]"
        )
    return entry[0]


def _rests(entries: list[Any], name: str) -> Blocks:
    return tuple(_block_names(entry[1:], k, name) for k, entry in enumerate(entries))


def _refuse_blocks(document: dict[str, Any], name: str) -> None:
    if "blocks" in document:
        raise interchange_error(f"blocks beside clknblocks in {name}", "blocks in one place")


def _block_map(blocks: Any, records: int, name: str) -> Blocks:
    if not isinstance(blocks, dict):
        raise interchange_error(
            f"blocks that are no object, in {name}", "lists of blocks by place of a record"
        )
    places = {str(k): k for k in range(records)}
    of_record: list[tuple[str, ...]] = [()] * records
    for place, named in blocks.items():
        if place not in places:
            raise interchange_error(f"blocks of a record that is not in {name}", f"places 0 to {records - 1}")
        if not isinstance(named, list):
            raise interchange_error(f"blocks of record {place} that are no list, in {name}", "a list")
        of_record[places[place]] = _block_names(named, places[place], name)
    return tuple(of_record)


def _block_names(named: list[Any], number: int, name: str) -> tuple[str, ...]:
    if len(named) > MOST_BLOCKS_A_RECORD:
        raise interchange_error(
            f"{len(named)} blocks of record {number} in {name}", f"at most {MOST_BLOCKS_A_RECORD}"
        )
    for block in named:
        if not isinstance(block, str | int) or isinstance(block, bool):
            raise interchange_error(
                f"a block of record {number} of {name} that is no text", "text or a number"
            )
    return tuple(str(block) for block in named)
