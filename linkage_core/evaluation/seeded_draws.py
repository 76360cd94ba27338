"""Random draws that stay the same for a seed, on every machine and with every release of NumPy.

NumPy promises the bit stream of PCG64 and its conversion to doubles, but not the streams of the generator's
other methods (NEP 19). So everything here, and everything that draws in this package, is built on
``Generator.random`` and whole-number arithmetic alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError

IntArray = npt.NDArray[np.int64]


def open_stream(seed: int, purpose: str) -> np.random.Generator:
    """Open the stream of one purpose, independent of every other purpose's under the same seed.

    With a stream each, a change in how many typos are drawn leaves everybody's birthday alone.

    Raises
    ------
    NightlinkError
        ``E-INPUT`` when the seed is negative.
    """
    if seed < 0:
        raise NightlinkError(
            "E-INPUT",
            found="a negative seed",
            expected="a seed of 0 or more",
            remedy="Choose another seed.",
        )
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *purpose.encode("utf-8")])))


def draw_positions(stream: np.random.Generator, size: int, n: int) -> IntArray:
    """Draw ``n`` whole numbers, each of ``0 .. size - 1`` equally likely."""
    return (stream.random(n) * size).astype(np.int64)


def draw_weighted(stream: np.random.Generator, weights: npt.ArrayLike, n: int) -> IntArray:
    """Draw ``n`` positions into ``weights`` (whole numbers >= 0, their sum above 0) in proportion to them."""
    return pick_weighted(stream.random(n), weights)


def pick_weighted(uniforms: npt.NDArray[np.float64], weights: npt.ArrayLike) -> IntArray:
    """Turn uniform draws of [0, 1) into positions of ``weights``, by the inverse of their distribution."""
    cumulative = np.cumsum(np.asarray(weights, dtype=np.int64))
    positions: IntArray = np.searchsorted(
        cumulative, (uniforms * cumulative[-1]).astype(np.int64), side="right"
    )
    return positions


def draw_order(stream: np.random.Generator, n: int) -> IntArray:
    """Draw a random order of ``0 .. n - 1``."""
    return np.argsort(stream.random(n), kind="stable")
