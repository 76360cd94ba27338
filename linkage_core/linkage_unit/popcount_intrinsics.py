"""What numba has no word for: popcount of whole rows in vectors, and prefetching. Zone: linkage_unit.

LLVM leaves a popcount loop over the 16 or 32 words of a filter scalar. Written as vectors of eight words it
becomes ``vpopcntq`` on machines with AVX-512 VPOPCNTDQ, and correct, slower code everywhere else.

These generate code without any check: a caller passes C-contiguous uint64 arrays of ``words`` columns, and
rows that exist. ``words`` must be a compile-time constant.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

LANES = 8
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


shared_bits: Any = intrinsic(prefer_literal=True)(_type_shared_bits)
prefetch_row: Any = intrinsic(prefer_literal=True)(_type_prefetch_row)


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
