"""Bytes moved and read inside kernels as the machine does it, several at once. Zone: custodian.

LLVM does not see that a loop over the bytes of two arrays cannot overlap, and compiles it byte by byte; a call of
``memcpy`` for the dozen bytes of a name costs more than the dozen bytes. Nothing here checks bounds: the kernels do.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

COPIED_BYTES = 32
CLEARED_BYTES = 64

_raw_memcpy: Any = cgutils.raw_memcpy  # an untyped function of numba
_BYTE, _LONG = ir.IntType(8), ir.IntType(64)


def _type_move_bytes(
    typing_context: Any, target: Any, target_at: Any, source: Any, source_at: Any, count: Any
) -> Any:
    """Copy ``source[source_at:source_at + count]`` to ``target[target_at:...]``; both uint8, flat, contiguous."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, origin = (_place(context, builder, signature, arguments, k) for k in (0, 2))
        _raw_memcpy(builder, to, origin, arguments[4], 1)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), generate


def _type_copy_32(typing_context: Any, target: Any, target_at: Any, source: Any, source_at: Any) -> Any:
    """Copy 32 bytes, without a call or a branch; both arrays uint8, flat, contiguous."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, origin = (_place(context, builder, signature, arguments, k) for k in (0, 2))
        vector = ir.VectorType(_BYTE, COPIED_BYTES)
        _store(builder, to, builder.load(builder.bitcast(origin, vector.as_pointer()), align=1))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), generate


def _type_clear_64(typing_context: Any, target: Any, at: Any) -> Any:
    """Set ``target[at:at + 64]`` to zero; uint8, flat, contiguous."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = ir.Constant(ir.VectorType(_BYTE, CLEARED_BYTES), [0] * CLEARED_BYTES)
        _store(builder, _place(context, builder, signature, arguments, 0), zeros)
        return context.get_dummy_value()

    return types.void(target, types.intp), generate


def _type_load_word(typing_context: Any, source: Any, at: Any) -> Any:
    """``source[at:at + 8]`` as a little-endian number; uint8, flat, contiguous."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments, 0)
        return builder.load(builder.bitcast(place, _LONG.as_pointer()), align=1)

    return types.uint64(source, types.intp), generate


def _place(context: Any, builder: Any, signature: Any, arguments: Any, k: int) -> Any:
    """Where argument ``k`` (an array) is at the index that argument ``k + 1`` gives."""
    array = context.make_array(signature.args[k])(context, builder, arguments[k])
    return builder.gep(array.data, [arguments[k + 1]])


def _store(builder: Any, address: Any, value: Any) -> None:
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=1)


move_bytes: Any = intrinsic(_type_move_bytes)
copy_32: Any = intrinsic(_type_copy_32)
clear_64: Any = intrinsic(_type_clear_64)
load_word: Any = intrinsic(_type_load_word)
