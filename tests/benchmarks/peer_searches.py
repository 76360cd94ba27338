"""The peers' side of a race, run by the peers' own Python: it imports nothing of this project.

`.venv-peers/bin/python tests/benchmarks/peer_searches.py anonlink|faiss|faiss-ivf FOLDER THRESHOLD|K` reads a.npy and
b.npy (filters as uint64) from FOLDER, writes result.npz there, and prints the CPU seconds of the search alone.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np


def search_anonlink(a: np.ndarray, b: np.ndarray, threshold: float) -> tuple[float, dict[str, np.ndarray]]:
    warnings.simplefilter("ignore")  # of setuptools, about pkg_resources
    from anonlink.similarities import dice_coefficient_accelerated
    from bitarray import bitarray

    def bitarrays(filters: np.ndarray) -> list[bitarray]:
        made = [bitarray(endian="little") for _ in filters]
        for bits, row in zip(made, filters, strict=True):
            bits.frombytes(row.tobytes())
        return made

    sides = bitarrays(a), bitarrays(b)
    started = time.process_time()
    similarity, (index_a, index_b) = dice_coefficient_accelerated(sides, threshold)
    seconds = time.process_time() - started
    return seconds, {
        "similarity": np.array(similarity, np.float64),
        "index_a": np.array(index_a, np.int64),
        "index_b": np.array(index_b, np.int64),
    }


def search_faiss(a: np.ndarray, b: np.ndarray, neighbours: int) -> tuple[float, dict[str, np.ndarray]]:
    import faiss

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexBinaryFlat(64 * a.shape[1])
    flat.add(b.view(np.uint8))
    started = time.process_time()
    distance, index_b = flat.search(a.view(np.uint8), neighbours)
    return time.process_time() - started, {"distance": distance, "index_b": index_b}


def search_faiss_lists(a: np.ndarray, b: np.ndarray, neighbours: int) -> tuple[float, dict[str, np.ndarray]]:
    """The approximate index, which looks into the nearest few of its lists; their number doubles and doubles again."""
    import faiss

    faiss.omp_set_num_threads(1)
    bits, lists = 64 * a.shape[1], int(np.sqrt(len(b)))
    index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(bits), bits, lists)
    index.train(b.view(np.uint8))
    index.add(b.view(np.uint8))
    probes = [1 << power for power in range(0, lists.bit_length(), 2)]
    distances, seconds = [], []
    for index.nprobe in probes:
        started = time.process_time()
        distances.append(index.search(a.view(np.uint8), neighbours)[0])
        seconds.append(time.process_time() - started)
    result = {"distance": np.array(distances), "seconds": np.array(seconds), "probes": np.array(probes)}
    return sum(seconds), result


def main() -> None:
    peer, folder, setting = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    a, b = np.load(folder / "a.npy"), np.load(folder / "b.npy")
    if peer == "anonlink":
        seconds, result = search_anonlink(a, b, float(setting))
    else:
        search = search_faiss if peer == "faiss" else search_faiss_lists
        seconds, result = search(a, b, int(setting))
    np.savez(folder / "result.npz", **result)
    print(seconds)


if __name__ == "__main__":
    main()
