"""What numba has no word for: popcount of whole rows in vectors, and prefetching. Zone: linkage_unit.

LLVM leaves a popcount loop over the 16 or 32 words of a filter scalar. Written as vectors of eight words it
becomes ``vpopcntq`` on machines with AVX-512 VPOPCNTDQ, and correct, slower code everywhere else.

These generate code without any check: a caller passes C-contiguous uint64 arrays of ``words`` columns, and
rows that exist. ``words`` must be a compile-time constant.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

LANES = 8
SLABS_PER_BLOCK = 64
CACHE_LINE_WORDS = 8
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_VECTOR = ir.VectorType(_I64, LANES)
_POINTER = ir.IntType(8).as_pointer()
_declare: Any = cgutils.get_or_insert_function


def _type_shared_bits(typing: Any, rows_a: Any, i: Any, rows_b: Any, j: Any, words: Any) -> Any:
    """``popcount(rows_a[i] & rows_b[j])`` as int64."""
    if not isinstance(words, types.IntegerLiteral):
        raise RequireLiteralValue("words must be a constant")
    count: int = words.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left = _row_pointer(context, builder, rows_a, arguments[0], arguments[1], count)
        right = _row_pointer(context, builder, rows_b, arguments[2], arguments[3], count)
        whole = count - count % LANES
        lanes = ir.Constant(_VECTOR, [0] * LANES)
        for word in range(0, whole, LANES):
            both = builder.and_(_load_vector(builder, left, word), _load_vector(builder, right, word))
            lanes = builder.add(lanes, _call(builder, "llvm.ctpop.v8i64", _VECTOR, both))
        total = _call(builder, "llvm.vector.reduce.add.v8i64", _I64, lanes)
        for word in range(whole, count):
            both = builder.and_(_load_word(builder, left, word), _load_word(builder, right, word))
            total = builder.add(total, builder.ctpop(both))
        return total

    return types.int64(rows_a, i, rows_b, j, words), generate


def _type_prefetch_row(typing: Any, rows: Any, i: Any, words: Any) -> Any:
    """Ask for the cache lines of ``rows[i]``; changes no result."""
    if not isinstance(words, types.IntegerLiteral):
        raise RequireLiteralValue("words must be a constant")
    count: int = words.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = _row_pointer(context, builder, rows, arguments[0], arguments[1], count)
        kind = ir.FunctionType(ir.VoidType(), [_POINTER, _I32, _I32, _I32])
        prefetch = _declare(builder.module, kind, "llvm.prefetch.p0")
        for word in range(0, count, CACHE_LINE_WORDS):
            line = builder.bitcast(builder.gep(row, [_I64(word)]), _POINTER)
            # For reading, kept in all caches, data.
            builder.call(prefetch, [line, _I32(0), _I32(3), _I32(1)])
        return context.get_dummy_value()

    return types.void(rows, i, words), generate


def _type_mark_close_lanes(
    typing: Any, rows: Any, i: Any, slabs: Any, block: Any, limits: Any, marks: Any, words: Any, groups: Any
) -> Any:
    """Bit ``l`` of ``marks[r]`` tells whether the bound of row ``i + r`` and lane ``l`` of the block is within
    ``limits[i + r]``, for r = 0 and 1.

    ``rows`` is (n, words), ``slabs`` (m, words, 8), ``limits`` (n,) int64, ``marks`` (2, 8) uint64; a block is
    64 slabs. The bound is the sum over groups of ``popcount(OR of row[w] ^ lane[w] for w in the group)``, word
    ``w`` in group ``w % groups``; with as many groups as words it is the distance itself, and words come as
    :func:`_carry` takes them. Straight-line code: two rows share each load of the lanes, one byte of marks
    is written for each slab, nothing branches; xor and or become one ``vpternlogq`` with AVX-512.
    """
    if not isinstance(words, types.IntegerLiteral) or not isinstance(groups, types.IntegerLiteral):
        raise RequireLiteralValue("words and groups must be constants")
    count, parts = words.literal_value, groups.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = [context.make_array(kind)(context, builder, arguments[n]).data
                for n, kind in ((0, rows), (2, slabs), (4, limits), (5, marks))]  # fmt: skip
        near = [builder.add(arguments[1], _I64(r)) for r in range(2)]
        row = [[_spread(builder, builder.gep(data[0], [builder.add(builder.mul(n, _I64(count)), _I64(w))]))
                for w in range(count)] for n in near]  # fmt: skip
        limit = [_spread(builder, builder.gep(data[2], [n])) for n in near]
        start = builder.gep(data[1], [builder.mul(arguments[3], _I64(SLABS_PER_BLOCK * count * LANES))])
        out = builder.bitcast(data[3], _POINTER)
        with cgutils.for_range(builder, _I64(SLABS_PER_BLOCK)) as loop:
            slab = builder.gep(start, [builder.mul(loop.index, _I64(count * LANES))])
            for r, bound in enumerate(_bounds(builder, row, slab, parts)):
                close = builder.bitcast(builder.icmp_signed("<=", bound, limit[r]), ir.IntType(8))
                builder.store(close, builder.gep(out, [builder.add(loop.index, _I64(r * SLABS_PER_BLOCK))]))
        return context.get_dummy_value()

    return types.void(rows, i, slabs, block, limits, marks, words, groups), generate


def _type_lowest_bit(typing: Any, word: Any) -> Any:
    """Position of the lowest bit set, as int64; ``word`` is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_I64, [_I64, ir.IntType(1)])  # numba's own declaration crashes LLVM
        return builder.call(_declare(builder.module, kind, "llvm.cttz.i64"), [arguments[0], ir.IntType(1)(1)])

    return types.int64(types.uint64), generate


shared_bits: Any = intrinsic(prefer_literal=True)(_type_shared_bits)
mark_close_lanes: Any = intrinsic(prefer_literal=True)(_type_mark_close_lanes)
lowest_bit: Any = intrinsic(_type_lowest_bit)
prefetch_row: Any = intrinsic(prefer_literal=True)(_type_prefetch_row)


def _bounds(builder: Any, rows: Any, slab: Any, groups: int) -> Any:
    """The bound of each row, for the eight lanes of a slab.

    Part by part, and row by row within a part, so that few vectors are alive at a time.
    """
    words = len(rows[0])
    exact = groups == words
    whole = words - words % 3 if exact else 0
    parts = [range(w, w + 3) for w in range(0, whole, 3)]
    parts += [range(g, words, groups) for g in range(whole, groups)]
    once, twice = [[None] * len(rows) for _ in range(2)]
    for part in parts:
        lanes = [_load_lanes(builder, slab, word) for word in part]
        for r, row in enumerate(rows):
            differing = [builder.xor(row[word], other) for word, other in zip(part, lanes, strict=True)]
            if exact and len(part) == 3:
                twice[r] = _add_popcount(builder, twice[r], _carry(builder, *differing))
                differing = differing[2:]
            once[r] = _add_popcount(builder, once[r], functools.reduce(builder.or_, differing))
    if not whole:
        return once
    return [builder.add(ones, builder.add(twos, twos)) for ones, twos in zip(once, twice, strict=True)]


def _carry(builder: Any, first: Any, second: Any, third: Any) -> Any:
    """Where at least two of x, y, z are set, from the triple (x ^ z, y ^ z, x ^ y ^ z).

    A carry-save adder (Harley and Seal; Mula, Kurz and Lemire 2018, doi:10.1093/comjnl/bxx046, section 3): with
    the third of the triple it stands for all three words, so that two are counted in place of three. Triples are
    linear in the words, so the XOR of two triples is the triple of the XOR; the carry is one ``vpternlogq``.
    """
    return builder.xor(builder.or_(first, second), third)


def _add_popcount(builder: Any, total: Any, bits: Any) -> Any:
    counts = _call(builder, "llvm.ctpop.v8i64", _VECTOR, bits)
    return counts if total is None else builder.add(total, counts)


def _load_lanes(builder: Any, slab: Any, word: int) -> Any:
    start = builder.bitcast(builder.gep(slab, [_I64(word * LANES)]), _VECTOR.as_pointer())
    return builder.load(start, align=64)


def _spread(builder: Any, pointer: Any) -> Any:
    """The word at ``pointer`` in all eight lanes."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, builder.load(pointer), _I32(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _row_pointer(context: Any, builder: Any, kind: Any, rows: Any, index: Any, words: int) -> Any:
    data = context.make_array(kind)(context, builder, rows).data
    return builder.gep(data, [builder.mul(index, _I64(words))])


def _load_vector(builder: Any, row: Any, word: int) -> Any:
    start = builder.bitcast(builder.gep(row, [_I64(word)]), _VECTOR.as_pointer())
    return builder.load(start, align=8)


def _load_word(builder: Any, row: Any, word: int) -> Any:
    return builder.load(builder.gep(row, [_I64(word)]))


def _call(builder: Any, name: str, returns: Any, argument: Any) -> Any:
    kind = ir.FunctionType(returns, [_VECTOR])
    return builder.call(_declare(builder.module, kind, name), [argument])
