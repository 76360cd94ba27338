"""The comparison menu: what has been proposed to harden a Bloom filter, and maps f: {0,1}^L -> R^n.

Each takes people in clear and a key, and answers with their encodings. Whatever a protocol may name is done by the
custodian's own code (``linkage_core/custodian/filter_hardening.py``); MinHash and the maps to real numbers are
here for their figures alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.custodian.diffusion import diffuse, diffusion_table
from linkage_core.custodian.filter_hardening import apply_rule_90, balance, flip_bits, fold_halves
from linkage_core.custodian.fourier_signs import fourier_signs
from linkage_core.evaluation.attacks.encoded_people import (
    EncodedPeople,
    as_bits,
    as_reals,
    pack_bits,
    unpack_bits,
)
from linkage_core.evaluation.attacks.known_people import (
    KnownPeople,
    plain_filters,
    record_q_grams,
    salted_by_year,
)
from linkage_core.protocol.derived_keys import derive_key

Filters = npt.NDArray[np.uint64]
Encode = Callable[[KnownPeople, bytes], EncodedPeople]

PAIRS = (("given_name", "family_name"), ("given_name", "birth_date"), ("family_name", "birth_date"))
PAIR_BITS, PAIR_BITS_PER_Q_GRAM, PAIR_FIELD_BITS = 512, 20, 200
"""The deployed protocol's filters: a test holds them to it."""

DIFFUSION = "Armknecht, Heng, Schnell 2023, doi:10.56553/popets-2023-0054"
FOURIER = "Raginsky and Lazebnik 2009, after Rahimi and Recht 2007"


@dataclass(frozen=True)
class Hardening:
    """A named encoding and where it was proposed."""

    name: str
    source: str
    encode: Encode
    is_real: bool = False


def plain(filter_bits: int = 1024, bits_per_q_gram: int = 20) -> Hardening:
    """The Bloom filter as it is (the positive control)."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        return as_bits(plain_filters(people, key, filter_bits, bits_per_q_gram), "dice")

    return Hardening(f"plain, k={bits_per_q_gram}", "Schnell 2009, doi:10.1186/1472-6947-9-41", encode)


def shared_out(field_bits: Mapping[str, int], bits_per_q_gram: int, filter_bits: int = 1024) -> Hardening:
    """The Bloom filter with a budget of positions a field, shared out over a value's q-grams."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        return as_bits(plain_filters(people, key, filter_bits, bits_per_q_gram, field_bits), "dice")

    return Hardening("plain, bits per field", "Vatsalan 2014, doi:10.1016/j.jbi.2013.12.003", encode)


def xor_folded(filter_bits: int = 1024, bits_per_q_gram: int = 20) -> Hardening:
    """XOR of the filter's two halves."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        return as_bits(fold_halves(plain_filters(people, key, filter_bits, bits_per_q_gram)), "dice")

    return Hardening("XOR folding", "Schnell and Borgs 2016, working paper WP-GRLC-2016-03", encode)


def rule_90(filter_bits: int = 1024, bits_per_q_gram: int = 20) -> Hardening:
    """Every bit becomes the XOR of its two neighbours, on a ring."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        return as_bits(apply_rule_90(plain_filters(people, key, filter_bits, bits_per_q_gram)), "dice")

    return Hardening("Rule 90", "Schnell and Borgs 2018, doi:10.1109/ICDMW.2018.00082", encode)


def balanced(filter_bits: int = 1024, bits_per_q_gram: int = 20) -> Hardening:
    """The filter and its complement, permuted under the key: every record has as many ones."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        filters = plain_filters(people, key, filter_bits, bits_per_q_gram)
        return as_bits(balance(filters, derive_key(key, ("hardening",))), "dice")

    return Hardening("balancing", "Schnell and Borgs 2016, doi:10.1109/ICDMW.2016.0038", encode)


def flipped(flips: int, filter_bits: int = 1024, bits_per_q_gram: int = 20) -> Hardening:
    """BLIP: every bit flips with a chance of ``flips`` in 256, always the same for the same filter."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        filters = plain_filters(people, key, filter_bits, bits_per_q_gram)
        return as_bits(flip_bits(filters, derive_key(key, ("hardening",)), flips), "hamming")

    return Hardening(f"BLIP {flips / 256:.2f}", "Alaggan 2012, doi:10.1007/978-3-642-33536-5_20", encode)


def salted(filter_bits: int = 1024, bits_per_q_gram: int = 20) -> Hardening:
    """The Bloom filter with positions that depend on the year of birth too; people without one have none."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        return as_bits(plain_filters(salted_by_year(people), key, filter_bits, bits_per_q_gram), "dice")

    return Hardening("salted by year of birth", "Niedermeyer 2014, doi:10.29012/jpc.v6i2.640", encode)


def diffused(
    terms: int,
    diffused_bits: int = 2048,
    filter_bits: int = 1024,
    bits_per_q_gram: int = 20,
    field_bits: Mapping[str, int] | None = None,
) -> Hardening:
    """Every output bit is the XOR of ``terms`` keyed bits, by the custodian's own kernels; with a budget of
    positions a field as of :func:`shared_out` where ``field_bits`` says so.
    """

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        filters = plain_filters(people, key, filter_bits, bits_per_q_gram, field_bits)
        table = diffusion_table(derive_key(key, ("diffusion",)), filter_bits, diffused_bits, terms)
        return as_bits(diffuse(filters, table), "hamming")

    spent = f"bits per field, {sum(field_bits.values())} in all" if field_bits else f"k={bits_per_q_gram}"
    name = f"diffusion {spent}, t={terms}, M={diffused_bits}"
    return Hardening(name, DIFFUSION, encode)


def pair_filters(terms: int, pairs: Sequence[tuple[str, str]] = PAIRS) -> Hardening:
    """The deployed protocol's diffused filters over pairs of given name, family name and date of birth, side by
    side, or some of them; with ``terms`` = 1 as they are before diffusion.
    """

    def protect(filters: Filters, key: bytes) -> Filters:
        if terms == 1:
            return filters
        return diffuse(filters, diffusion_table(derive_key(key, ("hardening",)), PAIR_BITS, 2048, terms))

    who = "three pair filters jointly" if len(pairs) == len(PAIRS) else "+".join(*pairs)
    name = f"{who}, plain" if terms == 1 else f"{who}, diffusion t={terms}"
    return _paired(name, DIFFUSION, pairs, protect)


def pair_fourier_signs(bandwidth: int) -> Hardening:
    """The three pair filters with signs of Fourier features in place of diffusion."""

    def protect(filters: Filters, key: bytes) -> Filters:
        return fourier_signs(filters, derive_key(key, ("hardening",)), 2048, bandwidth)

    return _paired(
        f"three pair filters jointly, Fourier signs, bandwidth {bandwidth}", FOURIER, PAIRS, protect
    )


def _paired(
    name: str, source: str, pairs: Sequence[tuple[str, str]], protect: Callable[[Filters, bytes], Filters]
) -> Hardening:
    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        filters = []
        for pair in pairs:
            pair_key, some = derive_key(key, ("pair", *pair)), people.only(pair)
            budget = dict.fromkeys(pair, PAIR_FIELD_BITS)
            plain_ones = plain_filters(some, pair_key, PAIR_BITS, PAIR_BITS_PER_Q_GRAM, budget)
            for known in some.fields:
                plain_ones[known.value_of_row < 0] = 0
            filters.append(protect(plain_ones, pair_key))
        return as_bits(np.concatenate(filters, axis=1), "hamming", len(pairs))

    return Hardening(name, source, encode)


def tabulation_min_hash(hashes: int = 2048) -> Hardening:
    """One bit of the smallest of the record's hashed q-grams, for each of many keyed hash functions."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        bits = np.zeros((people.rows, hashes), np.bool_)
        starts, grams, count = record_q_grams(people)
        table = keyed_stream(key, "min-hash").integers(0, 1 << 32, (hashes, count), np.uint32)
        _min_hash_kernel(starts, grams, table, bits)
        return as_bits(pack_bits(bits), "hamming")

    return Hardening("tabulation MinHash", "Smith 2017, doi:10.1016/j.jisa.2017.01.002", encode)


def signed_fourier(bandwidth: int, filter_bits: int = 1024, bits_per_q_gram: int = 20) -> Hardening:
    """Signs of keyed random Fourier features: a map that truncates distance."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        filters = plain_filters(people, key, filter_bits, bits_per_q_gram)
        return as_bits(fourier_signs(filters, derive_key(key, ("hardening",)), 2048, bandwidth), "hamming")

    return Hardening(f"Fourier signs, bandwidth {bandwidth} (truncates distance)", FOURIER, encode)


def random_projection(dimensions: int = 512, filter_bits: int = 1024, bits_per_q_gram: int = 20) -> Hardening:
    """A keyed Gaussian projection of the filter: a map that preserves distance."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        filters = plain_filters(people, key, filter_bits, bits_per_q_gram)
        weights = keyed_stream(key, "projection").standard_normal((filter_bits, dimensions), np.float32)
        weights /= np.float32(np.sqrt(dimensions))
        return as_reals(unpack_bits(filters) @ weights)

    source = "Johnson and Lindenstrauss 1984, doi:10.1090/conm/026/737400"
    name = f"random projection to R^{dimensions} (preserves distance, roughly)"
    return Hardening(name, source, encode, is_real=True)


def rotation(filter_bits: int = 1024, bits_per_q_gram: int = 20) -> Hardening:
    """A keyed rotation of R^L: a map that preserves distance exactly."""

    def encode(people: KnownPeople, key: bytes) -> EncodedPeople:
        filters = plain_filters(people, key, filter_bits, bits_per_q_gram)
        gaussian = keyed_stream(key, "rotation").standard_normal((filter_bits, filter_bits))
        return as_reals(unpack_bits(filters) @ np.linalg.qr(gaussian)[0].astype(np.float32))

    source = "Chen and Liu 2005, doi:10.1109/ICDM.2005.121"
    return Hardening(f"rotation of R^{filter_bits} (preserves distance)", source, encode, is_real=True)


def keyed_stream(key: bytes, purpose: str) -> np.random.Generator:
    """A generator that the key and a purpose determine; good for experiments, not for a protocol."""
    return np.random.Generator(
        np.random.PCG64(int.from_bytes(sha256(purpose.encode() + key).digest(), "little"))
    )


@numba.njit(cache=True, nogil=True)
def _min_hash_kernel(starts, grams, table, bits):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for row in range(len(starts) - 1):
        if starts[row] == starts[row + 1]:
            continue
        for h in range(table.shape[0]):
            smallest = np.uint32(0xFFFFFFFF)
            for g in range(starts[row], starts[row + 1]):
                smallest = min(smallest, table[h, grams[g]])
            bits[row, h] = smallest & np.uint32(1)
