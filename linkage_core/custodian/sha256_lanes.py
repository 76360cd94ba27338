"""SHA-256's compression of several blocks side by side. Zone: custodian.

FIPS 180-4 (https://doi.org/10.6028/NIST.FIPS.180-4), section 6.2.2, in LLVM's own words, two ways:

- where the processor has instructions for SHA-256 (x86's SHA extensions), with them, two blocks interleaved, since each
  instruction waits for the last of its own block: 21 ns a block on the machine of decision 0020;
- elsewhere in vectors of 32-bit words, one block a lane, which LLVM lowers to whatever the machine has (AVX-512,
  AVX2, SSE, NEON): 41 ns a block with AVX2 on the same machine.

Which one is chosen when a kernel is compiled, by the features that it is compiled for, and numba keeps compiled
kernels by these features too; every machine gets the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
"""Blocks of one call: eight 32-bit words are one AVX2 register."""

BLOCK_BYTES = 64
STATE_WORDS = 8
_BLOCK_WORDS, _ROUNDS, _AT_ONCE = 16, 64, 2


def _fractional_bits(root: float) -> int:
    return int((root - math.floor(root)) * 2**32)


def _first_primes(count: int) -> list[int]:
    primes: list[int] = []
    candidate = 2
    while len(primes) < count:
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
        candidate += 1
    return primes


# FIPS 180-4, 4.2.2 and 5.3.3: the first 32 fractional bits of the cube and square roots of the first primes.
ROUND_CONSTANTS = tuple(_fractional_bits(p ** (1 / 3)) for p in _first_primes(_ROUNDS))
INITIAL_STATE = np.array([_fractional_bits(p**0.5) for p in _first_primes(STATE_WORDS)], np.uint32)

# untyped functions of numba
_alloca_once_value: Any = cgutils.alloca_once_value
_function: Any = cgutils.get_or_insert_function
_INDEX, _WORD, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
_FOUR, _LANE_VECTOR = ir.VectorType(_WORD, 4), ir.VectorType(_WORD, LANES)

Compression = Callable[[Any, Any, Any, Any], None]


def _typed_by(compression: Callable[[Any], Compression]) -> Callable[..., Any]:
    """An intrinsic that compresses one block a lane into that lane's state, in place.

    Its parameters:

    state : array of uint32, shape (8 * LANES,), C-contiguous
        Word ``i`` of lane ``l`` at ``8 * l + i``.
    blocks : array of uint8 or uint32, C-contiguous
    first, stride : intp
        Lane ``l``'s block is the 64 bytes from byte ``first + l * stride`` on.
    """

    def compress(typing_context: Any, state: Any, blocks: Any, first: Any, stride: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            state_at, blocks_at = (
                context.make_array(kind)(context, builder, argument).data
                for kind, argument in zip(signature.args[:2], arguments[:2], strict=True)
            )
            first_at = builder.gep(builder.bitcast(blocks_at, _BYTE.as_pointer()), [arguments[2]])
            compression(context)(builder, state_at, first_at, arguments[3])
            return context.get_dummy_value()

        return types.void(state, blocks, types.intp, types.intp), generate

    return compress


def _best(context: Any) -> Compression:
    return _by_sha_extensions if has_sha_extensions(context) else _by_vectors


def has_sha_extensions(context: Any) -> bool:
    """Whether code for this target may use x86's instructions for SHA-256."""
    features: str = context.codegen().magic_tuple()[2]
    return "+sha" in features.split(",")


# --- the machine's own instructions


def _by_sha_extensions(builder: Any, state_at: Any, first_at: Any, stride: Any) -> None:
    """Two lanes at once; Intel's "SHA Extensions", 2013, whose registers hold (f, e, b, a) and (h, g, d, c)."""
    steps = [ir.Constant(_INDEX, at) for at in (0, LANES, _AT_ONCE)]
    with cgutils.for_range_slice(builder, *steps) as (lane, _):
        lanes = [builder.add(lane, ir.Constant(_INDEX, k)) for k in range(_AT_ONCE)]
        places = [builder.gep(state_at, [builder.mul(at, ir.Constant(_INDEX, STATE_WORDS))]) for at in lanes]
        blocks = [builder.gep(first_at, [builder.mul(at, stride)]) for at in lanes]
        before = [_load(builder, place, _FOUR, 2) for place in places]
        states = [
            [_shuffle(builder, halves[0], halves[1], order) for order in ([5, 4, 1, 0], [7, 6, 3, 2])]
            for halves in before
        ]
        words = [[_swapped(builder, w) for w in _load(builder, block, _FOUR, 4)] for block in blocks]
        for group in range(_ROUNDS // 4):
            for lane_words, lane_state in zip(words, states, strict=True):
                _four_rounds(builder, group, lane_words, lane_state)
        for place, halves, (feba, hgdc) in zip(places, before, states, strict=True):
            after = [_shuffle(builder, feba, hgdc, order) for order in ([3, 2, 7, 6], [1, 0, 5, 4])]
            _store(builder, place, [builder.add(a, b) for a, b in zip(halves, after, strict=True)])


def _four_rounds(builder: Any, group: int, words: list[Any], state: list[Any]) -> None:
    """Rounds ``4 * group`` to ``4 * group + 3``; ``words`` are the last sixteen of the schedule, ``state`` changes."""
    if group >= 4:
        oldest = _call(builder, "sha256msg1", words[0], words[1])
        ninth = _shuffle(builder, words[2], words[3], [1, 2, 3, 4])
        words[:] = [
            *words[1:],
            _call(builder, "sha256msg2", builder.add(oldest, ninth), words[3]),
        ]
    now = words[min(group, 3)]
    constants = ir.Constant(_FOUR, list(ROUND_CONSTANTS[4 * group : 4 * group + 4]))
    with_constants = builder.add(now, constants)
    for order in ([0, 1, 2, 3], [2, 3, 2, 3]):
        two = _shuffle(builder, with_constants, with_constants, order)
        state[:] = [_call(builder, "sha256rnds2", state[1], state[0], two), state[0]]


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    kind = ir.FunctionType(_FOUR, [_FOUR] * len(arguments))
    function = _function(builder.module, kind, f"llvm.x86.{name}")
    return builder.call(function, arguments)


# --- vectors of any machine


def _by_vectors(builder: Any, state_at: Any, first_at: Any, stride: Any) -> None:
    blocks = [
        builder.gep(first_at, [builder.mul(stride, ir.Constant(_INDEX, lane))]) for lane in range(LANES)
    ]
    halves = zip(*(_load(builder, block, _LANE_VECTOR, 2) for block in blocks), strict=True)
    words = [_swapped(builder, word) for half in halves for word in _transposed(builder, list(half))]
    before = _transposed(builder, _load(builder, state_at, _LANE_VECTOR, LANES))
    variables, schedule = ([_alloca_once_value(builder, v) for v in values] for values in (before, words))
    constants = _constants_table(builder)
    _sixteen_rounds(builder, variables, schedule, constants, ir.Constant(_INDEX, 0), extend=False)
    steps = [ir.Constant(_INDEX, at) for at in (_BLOCK_WORDS, _ROUNDS, _BLOCK_WORDS)]
    with cgutils.for_range_slice(builder, *steps) as (first_round, _):
        _sixteen_rounds(builder, variables, schedule, constants, first_round, extend=True)
    after = [
        builder.add(old, builder.load(variable)) for old, variable in zip(before, variables, strict=True)
    ]
    _store(builder, state_at, _transposed(builder, after))


def _sixteen_rounds(
    builder: Any, variables: list[Any], schedule: list[Any], constants: Any, first_round: Any, *, extend: bool
) -> None:
    """FIPS 180-4, 6.2.2; ``extend`` makes the next sixteen words of the schedule first."""
    a, b, c, d, e, f, g, h = (builder.load(variable) for variable in variables)
    w = [builder.load(word) for word in schedule]
    for t in range(_BLOCK_WORDS):
        if extend:
            low, high = w[(t + 1) % 16], w[(t + 14) % 16]
            s0 = _xor(builder, *_rotations(builder, low, 7, 18), builder.lshr(low, _splat(3)))
            s1 = _xor(builder, *_rotations(builder, high, 17, 19), builder.lshr(high, _splat(10)))
            w[t] = _sum(builder, w[t], s0, w[(t + 9) % 16], s1)
        at = builder.add(first_round, ir.Constant(_INDEX, t))
        constant = builder.load(builder.gep(constants, [ir.Constant(_INDEX, 0), at]), align=4)
        s1 = _xor(builder, *_rotations(builder, e, 6, 11, 25))
        choice = builder.xor(g, builder.and_(e, builder.xor(f, g)))  # e ? f : g
        t1 = _sum(builder, h, builder.add(w[t], constant), choice, s1)
        s0 = _xor(builder, *_rotations(builder, a, 2, 13, 22))
        majority = builder.xor(b, builder.and_(builder.xor(a, b), builder.xor(b, c)))
        h, g, f, e, d, c, b, a = g, f, e, builder.add(d, t1), c, b, a, _sum(builder, t1, s0, majority)
    for variable, value in zip([*variables, *schedule], [a, b, c, d, e, f, g, h, *w], strict=True):
        builder.store(value, variable)


def _constants_table(builder: Any) -> Any:
    """The round constants as a table of vectors, once a module."""
    name = "nightlink_sha256_round_constants"
    table = ir.ArrayType(_LANE_VECTOR, _ROUNDS)
    if name in builder.module.globals:
        return builder.module.globals[name]
    constants = ir.GlobalVariable(builder.module, table, name)
    constants.global_constant, constants.linkage = True, "private"
    constants.initializer = ir.Constant(table, [_splat(number) for number in ROUND_CONSTANTS])
    return constants


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Eight vectors of eight words as their eight columns: blocks of 1, 2, then 4 words swap across the diagonal."""
    for width in (1, 2, 4):
        order = [i if not i & width else i - width + LANES for i in range(LANES)]
        other = [i + width if not i & width else i + LANES for i in range(LANES)]
        swapped: list[Any] = list(rows)
        for k in (k for k in range(LANES) if not k & width):
            swapped[k] = _shuffle(builder, rows[k], rows[k + width], order)
            swapped[k + width] = _shuffle(builder, rows[k], rows[k + width], other)
        rows = swapped
    return rows


def _splat(number: int) -> Any:
    return ir.Constant(_LANE_VECTOR, [number] * LANES)


def _rotations(builder: Any, value: Any, *counts: int) -> list[Any]:
    return [
        builder.or_(builder.lshr(value, _splat(count)), builder.shl(value, _splat(32 - count)))
        for count in counts
    ]


# --- words of LLVM


def _load(builder: Any, address: Any, kind: Any, count: int) -> list[Any]:
    base = builder.bitcast(address, kind.as_pointer())
    return [builder.load(builder.gep(base, [ir.Constant(_INDEX, i)]), align=1) for i in range(count)]


def _store(builder: Any, address: Any, values: Sequence[Any]) -> None:
    base = builder.bitcast(address, values[0].type.as_pointer())
    for i, value in enumerate(values):
        builder.store(value, builder.gep(base, [ir.Constant(_INDEX, i)]), align=4)


def _shuffle(builder: Any, first: Any, second: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_WORD, len(order)), order))


def _swapped(builder: Any, words: Any) -> Any:
    """Each word's bytes in the opposite order: SHA-256 is big-endian, what numba compiles for is not."""
    kind = ir.FunctionType(words.type, [words.type])
    name = f"llvm.bswap.v{words.type.count}i32"
    return builder.call(_function(builder.module, kind, name), [words])


def _xor(builder: Any, first: Any, *others: Any) -> Any:
    for other in others:
        first = builder.xor(first, other)
    return first


def _sum(builder: Any, first: Any, *others: Any) -> Any:
    for other in others:
        first = builder.add(first, other)
    return first


compress_lanes: Any = intrinsic(_typed_by(_best))
compress_lanes_by_vectors: Any = intrinsic(_typed_by(lambda context: _by_vectors))
