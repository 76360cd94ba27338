"""Run by a Python that has anonlink 0.15.3: `anonlink_peer.py WHAT FOLDER SETTINGS`, settings as JSON.

`compare` reads party_0.npy ... (filters as uint64) and blocks.json (or nothing), and writes pairs.bin and groups.json;
`solve` reads pairs.bin and writes groups.json. It imports nothing of this project.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")  # of setuptools, about pkg_resources

import anonlink  # noqa: E402
from anonlink.serialization import dump_candidate_pairs, load_candidate_pairs, load_to_iterable  # noqa: E402
from anonlink.similarities import dice_coefficient_accelerated  # noqa: E402
from bitarray import bitarray  # noqa: E402


def _bitarrays(filters: np.ndarray) -> list[bitarray]:
    made = [bitarray(endian="little") for _ in filters]
    for bits, row in zip(made, filters, strict=True):
        bits.frombytes(row.tobytes())
    return made


def compare(folder: Path, settings: dict) -> None:
    parties = [_bitarrays(np.load(folder / f"party_{k}.npy")) for k in range(settings["parties"])]
    blocks = json.loads((folder / "blocks.json").read_text()) if settings["blocks"] else None
    blocking = None if blocks is None else lambda party, row, _: blocks[party][row]
    pairs = anonlink.candidate_generation.find_candidate_pairs(
        parties, dice_coefficient_accelerated, settings["threshold"], blocking_f=blocking
    )
    with open(folder / "pairs.bin", "wb") as file:
        dump_candidate_pairs(pairs, file)
    solve(folder, settings)


def solve(folder: Path, settings: dict) -> None:
    data = (folder / "pairs.bin").read_bytes()
    pairs = load_candidate_pairs(io.BytesIO(data))
    solvers = {
        "greedy": anonlink.solving.greedy_solve,
        "probabilistic": lambda p: anonlink.solving.probabilistic_greedy_solve(
            p, merge_threshold=settings["merge_share"]
        ),
    }
    groups = solvers[settings.get("solver", "greedy")](pairs)
    plain = sorted(sorted([int(party), int(row)] for party, row in group) for group in groups)
    entries = sum(1 for _ in load_to_iterable(io.BytesIO(data)))
    (folder / "groups.json").write_text(json.dumps({"groups": plain, "entries": entries}))


if __name__ == "__main__":
    {"compare": compare, "solve": solve}[sys.argv[1]](Path(sys.argv[2]), json.loads(sys.argv[3]))
