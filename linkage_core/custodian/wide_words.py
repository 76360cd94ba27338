"""Several 64-bit words at once, in LLVM's own vectors, for bits of several hundred records. Zone: custodian.

LLVM does not find these vectors by itself in loops over rows of four words (measured: not one). It lowers them to what
the machine has, and to plain words where it has none. Nothing here checks bounds: the kernels do.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WIDE = 8
"""Words of a row: 512 bits."""

_WORD = ir.IntType(64)
_ROW = ir.VectorType(_WORD, WIDE)


def _type_xor_rows(
    typing_context: Any, rows: Any, places: Any, first: Any, count: Any, out: Any, at: Any
) -> Any:
    """``out[at] = rows[places[first]] ^ ... ^ rows[places[first + count - 1]]``; count >= 1.

    ``rows`` and ``out`` are uint64 of shape (n, WIDE), ``places`` is uint16 and flat, all of them contiguous.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows_at, places_at, out_at = (_data(context, builder, signature, arguments, k) for k in (0, 1, 4))
        total = cgutils.alloca_once_value(builder, ir.Constant(_ROW, [0] * WIDE))  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, arguments[3]) as loop:
            place = builder.load(builder.gep(places_at, [builder.add(arguments[2], loop.index)]))
            row = _load_row(builder, rows_at, builder.zext(place, _WORD))
            builder.store(builder.xor(builder.load(total), row), total)
        _store_row(builder, out_at, arguments[5], builder.load(total))
        return context.get_dummy_value()

    return types.void(rows, places, types.intp, types.intp, out, types.intp), generate


def _type_swap_bits(typing_context: Any, rows: Any, one: Any, other: Any, shift: Any, mask: Any) -> Any:
    """Swap, word by word, the bits ``mask << shift`` of ``rows[one]`` with the bits ``mask`` of ``rows[other]``.

    ``rows`` is uint64 of shape (n, WIDE), contiguous; ``shift`` and ``mask`` are uint64.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows_at = _data(context, builder, signature, arguments, 0)
        upper, lower = (_load_row(builder, rows_at, at) for at in arguments[1:3])
        shifts, masks = (_repeated(builder, word) for word in arguments[3:])
        swapped = builder.and_(builder.xor(builder.lshr(upper, shifts), lower), masks)
        _store_row(builder, rows_at, arguments[1], builder.xor(upper, builder.shl(swapped, shifts)))
        _store_row(builder, rows_at, arguments[2], builder.xor(lower, swapped))
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, types.uint64, types.uint64), generate


def _data(context: Any, builder: Any, signature: Any, arguments: Any, k: int) -> Any:
    return context.make_array(signature.args[k])(context, builder, arguments[k]).data


def _load_row(builder: Any, words: Any, at: Any) -> Any:
    return builder.load(builder.gep(builder.bitcast(words, _ROW.as_pointer()), [at]), align=8)


def _store_row(builder: Any, words: Any, at: Any, row: Any) -> None:
    builder.store(row, builder.gep(builder.bitcast(words, _ROW.as_pointer()), [at]), align=8)


def _repeated(builder: Any, word: Any) -> Any:
    row = ir.Constant(_ROW, ir.Undefined)
    for k in range(WIDE):
        row = builder.insert_element(row, word, ir.Constant(ir.IntType(32), k))
    return row


xor_rows: Any = intrinsic(_type_xor_rows)
swap_bits: Any = intrinsic(_type_swap_bits)
