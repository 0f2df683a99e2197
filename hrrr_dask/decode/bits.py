"""Bits out of bytes, for the kernels: 64-bit words at any byte, and sums over a group of packed values.

Both are written in LLVM's own language, because Python cannot say them: an unaligned load, and eight values at a time
in a vector. LLVM turns the vectors into what the processor has (AVX-512, AVX2, NEON, or one value after the other).
Nothing here looks whether the bytes are there: the kernels do. To hold them to it, there is a build that does look:
with ``HRRR_DASK_CHECKED_KERNELS=1`` in the environment (and a ``NUMBA_CACHE_DIR`` of its own) a word beyond the data
ends the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["CHECKED", "MARGIN_VALUES", "load_word", "sums_of_middle", "sums_of_narrow", "sums_of_wide"]

LANES: Final = 8
"""Values of a vector."""

BLOCKS: Final = 4
"""Vectors of a turn: most groups of HRRR's messages have at most 32 values, and so take one turn."""

MARGIN_VALUES: Final = LANES * BLOCKS
"""How many values beyond its end a group is read at most, and thrown away."""

CHECKED: Final = os.environ.get("HRRR_DASK_CHECKED_KERNELS") == "1"
"""Whether every load is compared with the bytes that there are; for tests, not for use."""

_NOWHERE: Final = 16
"""An address that no process may read, and of which LLVM does not know that."""

_I32: Final = ir.IntType(32)
_I64: Final = ir.IntType(64)
_VECTOR: Final = ir.VectorType(_I64, LANES)


@intrinsic
def load_word(typing_context: Any, data: Any, byte: Any) -> Any:
    """``load_word(data, byte)``: eight bytes from ``byte`` on, the first one the most significant."""
    del typing_context

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return _word(builder, array, arguments[1])

    return types.uint64(data, byte), generate


def _word(builder: Any, array: Any, byte: Any) -> Any:
    place = builder.bitcast(builder.gep(array.data, [byte]), _I64.as_pointer())
    if CHECKED:
        there = builder.icmp_unsigned("<=", builder.add(byte, _I64(8)), array.nitems)
        place = builder.select(there, place, _I64(_NOWHERE).inttoptr(_I64.as_pointer()))
    return builder.bswap(builder.load(place, align=1))


def _sums(per_word: int) -> Any:
    """``sums(data, bit, width, length)``: the sum of a group's values, and the sum of its running sums.

    With values r[0] … r[n-1] these are ``sum r[k]`` and ``sum (n - k) r[k]``: how far they move a first difference,
    and a value that is differenced twice. Each word has ``per_word`` values, which must fit in the 57 bits that are
    left of it when the first of them begins within a byte.

    Value 8b+i is lane i of block b. Each block adds to a lane's sum S, and S to its running sum T, so that after B
    blocks T = sum over b of (B - b) r; and n - k = 8 (B - b) + (n - 8B) - i.
    """

    @intrinsic
    def sums(typing_context: Any, data: Any, bit: Any, width: Any, length: Any) -> Any:
        del typing_context
        signature = types.UniTuple(types.uint64, 2)(data, bit, width, length)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            pair = _Turns(builder, array, per_word).of(*arguments[1:])
            return context.make_tuple(builder, signature.return_type, pair)

        return signature, generate

    return sums


class _Turns:
    """The loop over a group's values, 32 in a turn."""

    def __init__(self, builder: Any, array: Any, per_word: int) -> None:
        self._builder, self._array, self._per_word = builder, array, per_word

    def of(self, bit: Any, width: Any, length: Any) -> tuple[Any, Any]:
        """Both sums."""
        build = self._builder
        places = _vector(lane % self._per_word + 1 for lane in range(LANES))
        shifts = build.sub(_vector([64] * LANES), build.mul(self._splat(width), places))
        shifts = build.and_(shifts, _vector([63] * LANES))  # of width 0, whose values the mask makes 0
        mask = self._splat(build.sub(build.shl(_I64(1), width), _I64(1)))
        step = build.mul(width, _I64(self._per_word))
        zero, before = _vector([0] * LANES), build.block
        turn, end = build.append_basic_block("turn"), build.append_basic_block("end")
        build.branch(turn)
        build.position_at_end(turn)
        at, left, total, running = (build.phi(kind) for kind in (_I64, _I64, _VECTOR, _VECTOR))
        for state, begin in ((at, bit), (left, length), (total, zero), (running, zero)):
            state.add_incoming(begin, before)
        next_at, next_total, next_running, lasting = at, total, running, self._splat(left)
        for block in range(BLOCKS):
            words, next_at = self._next_words(next_at, step)
            values = build.and_(build.lshr(words, shifts), mask)
            belongs = build.icmp_unsigned(">", lasting, _vector(LANES * block + lane for lane in range(LANES)))
            next_total = build.add(next_total, build.select(belongs, values, zero))
            next_running = build.add(next_running, next_total)
        next_left = build.sub(left, _I64(MARGIN_VALUES))
        for state, then in ((at, next_at), (left, next_left), (total, next_total), (running, next_running)):
            state.add_incoming(then, turn)
        build.cbranch(build.icmp_signed(">", next_left, _I64(0)), turn, end)
        build.position_at_end(end)
        return self._reduced(next_total, next_running, next_left)

    def _next_words(self, at: Any, step: Any) -> tuple[Any, Any]:
        """A vector in which each lane has the word that its value is in, aligned to the left."""
        build, n_words = self._builder, LANES // self._per_word
        several = ir.VectorType(_I64, n_words)
        words: Any = ir.Constant(several, ir.Undefined)
        for number in range(n_words):
            word = _word(build, self._array, build.lshr(at, _I64(3)))
            words = build.insert_element(words, build.shl(word, build.and_(at, _I64(7))), _I32(number))
            at = build.add(at, step)
        which = ir.Constant(ir.VectorType(_I32, LANES), [lane // self._per_word for lane in range(LANES)])
        return build.shuffle_vector(words, ir.Constant(several, ir.Undefined), which), at

    def _reduced(self, total: Any, running: Any, rest: Any) -> tuple[Any, Any]:
        build = self._builder
        kind = ir.FunctionType(_I64, [_VECTOR])
        add_up = cgutils.get_or_insert_function(build.module, kind, f"llvm.vector.reduce.add.v{LANES}i64")
        lane = build.mul(total, _vector(range(LANES)))
        whole = build.call(add_up, [total])
        blocks = build.call(add_up, [build.sub(build.shl(running, _vector([3] * LANES)), lane)])
        return whole, build.add(blocks, build.mul(rest, whole))

    def _splat(self, value: Any) -> Any:
        build, empty = self._builder, ir.Constant(_VECTOR, ir.Undefined)
        one = build.insert_element(empty, value, _I32(0))
        return build.shuffle_vector(one, empty, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _vector(values: Any) -> Any:
    return ir.Constant(_VECTOR, [_I64(value) for value in values])


sums_of_narrow: Final[Callable[..., Any]] = _sums(8)
"""For widths up to 7 bits."""
sums_of_middle: Final[Callable[..., Any]] = _sums(4)
"""For widths up to 14 bits."""
sums_of_wide: Final[Callable[..., Any]] = _sums(2)
"""For widths up to 28 bits."""
