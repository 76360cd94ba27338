"""Run a command in this process, then search all that is still reachable in it for patterns.

``python -m tests.faults.reachable_objects PATTERNS PLANT COMMAND...``: PATTERNS has one in hex a line and is read after
the command ended; PLANT is ``nothing``, or how the first pattern is left behind on purpose. What was found is printed
as the type of its holder. Memory that was freed is not searched: it belongs to nobody, and goes with the process.
"""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flows.command_line import main

LEFT_BEHIND: list[Any] = []
"""A module's global, for the positive control."""


@functools.cache
def _cached(value: str) -> int:
    return len(value)


PLANTS: dict[str, Callable[[bytes], object]] = {
    "nothing": lambda pattern: None,
    "global": lambda pattern: LEFT_BEHIND.append({"key": pattern}),
    "functools": lambda pattern: _cached(pattern.decode("latin-1")),
    "numpy": lambda pattern: LEFT_BEHIND.append(np.frombuffer(b"??" + pattern, np.uint8).copy()),
    "arrow": lambda pattern: LEFT_BEHIND.append(pa.array([b"??" + pattern])),
}


def contents(item: object) -> Iterator[bytes]:
    """The bytes that an object holds by itself, in the forms in which a value or key may stand."""
    if isinstance(item, str):
        yield item.encode("utf-8", "surrogatepass")
        yield item.encode("latin-1", "ignore")
    elif isinstance(item, bytes | bytearray):
        yield bytes(item)
    elif isinstance(item, np.ndarray) and item.dtype != object:
        yield np.ascontiguousarray(item).tobytes()
        if item.dtype == np.uint32:  # states of hashes are words
            yield np.ascontiguousarray(item).byteswap().tobytes()
    elif isinstance(item, pa.Array):
        yield from (buffer.to_pybytes() for buffer in item.buffers() if buffer is not None)
    elif isinstance(item, pa.ChunkedArray):
        for chunk in item.chunks:
            yield from contents(chunk)
    elif isinstance(item, pa.RecordBatch | pa.Table):
        for column in item.columns:
            yield from contents(column)
    elif isinstance(item, pa.Buffer):
        yield item.to_pybytes()


def reachable(skipped: set[int]) -> Iterator[object]:
    """Every object that the collector knows, and all that these refer to."""
    seen, waiting = set(skipped), [*gc.get_objects(), *sys.modules.values()]
    seen.add(id(waiting))
    while waiting:
        item = waiting.pop()
        if id(item) not in seen:
            seen.add(id(item))
            yield item
            waiting += gc.get_referents(item)
            if isinstance(item, dict):  # the collector passes over keys that are texts: they close no cycle
                waiting += list(item)


def _holders(item: object) -> str:
    """Types of what refers to an object, two steps far; never what they hold."""
    direct = [holder for holder in gc.get_referrers(item) if not hasattr(holder, "f_back")]
    further = [far for holder in direct for far in gc.get_referrers(holder) if not hasattr(far, "f_back")]
    names = {f"{type(far).__module__}.{type(far).__qualname__}" for far in [*direct, *further]}
    return " < ".join(sorted(names)) or "no container"


def run() -> None:
    patterns_file, plant, *command = sys.argv[1:]
    try:
        main(command)
    except SystemExit as end:
        if end.code not in (0, 4):
            raise
    gc.collect()
    patterns = [bytes.fromhex(line) for line in Path(patterns_file).read_text().split()]
    PLANTS[plant](bytes(bytearray(patterns[0])))
    ours = {id(patterns), *map(id, patterns)}
    found = {
        f"{type(item).__name__} in {_holders(item)}"
        for item in reachable(ours)
        if any(pattern in content for content in contents(item) for pattern in patterns)
    }
    print("FOUND IN:", ", ".join(sorted(found)) or "nothing")


if __name__ == "__main__":
    run()
