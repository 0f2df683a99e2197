"""Bit-level intrinsics for the numba kernels: unaligned 64-bit loads, and vectorised sums over packed values.

Generated as LLVM IR, because Python cannot express an unaligned load or a vector of eight integers. LLVM lowers the
vectors to the instruction set of the processor (AVX-512, AVX2, NEON, or scalar code).
Bounds are not checked here: the kernels do that. A debug build verifies that they do: with
``HRRR_DASK_CHECKED_KERNELS=1`` in the environment (and a separate ``NUMBA_CACHE_DIR``), a load past the end of the data
crashes the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["CHECKED", "MARGIN_VALUES", "load_word", "sums_7bit", "sums_14bit", "sums_28bit"]

LANES: Final = 8
"""Values per vector."""

BLOCKS: Final = 4
"""Vectors per iteration: most groups of HRRR messages have at most 32 values, which take one iteration."""

MARGIN_VALUES: Final = LANES * BLOCKS
"""Maximum number of values that are read past the end of a group, and discarded."""

CHECKED: Final = os.environ.get("HRRR_DASK_CHECKED_KERNELS") == "1"
"""Whether every load is checked against the size of the data; for tests only."""

_UNREADABLE_ADDRESS: Final = 16
"""An address that no process can read, but that LLVM does not treat as invalid, as it does null."""

_I32: Final = ir.IntType(32)
_I64: Final = ir.IntType(64)
_VECTOR: Final = ir.VectorType(_I64, LANES)


@intrinsic
def load_word(typing_context: Any, data: Any, byte: Any) -> Any:
    """``load_word(data, byte)``: the eight bytes from ``byte`` on as a big-endian integer."""
    del typing_context

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return _load(builder, array, arguments[1])

    return types.uint64(data, byte), generate


def _load(builder: Any, array: Any, byte: Any) -> Any:
    address = builder.bitcast(builder.gep(array.data, [byte]), _I64.as_pointer())
    if CHECKED:
        inside = builder.icmp_unsigned("<=", builder.add(byte, _I64(8)), array.nitems)
        address = builder.select(inside, address, _I64(_UNREADABLE_ADDRESS).inttoptr(_I64.as_pointer()))
    return builder.bswap(builder.load(address, align=1))


def _make_sums(per_word: int) -> Any:
    """Make ``sums(data, bit, width, length)``: the sum of a group's values, and the sum of its running sums.

    For values r[0] … r[n-1] these are ``sum r[k]`` and ``sum (n - k) r[k]``: the increments of a first difference, and
    of a value with second-order differencing. Each word provides ``per_word`` values, which must fit in the 57 bits
    that remain when the first value starts within a byte.

    Value 8b+i is lane i of block b. Each block is added to a lane's sum S, and S to its running sum T, so that after B
    blocks T = sum over b of (B - b) r; and n - k = 8 (B - b) + (n - 8B) - i.
    """

    @intrinsic
    def sums(typing_context: Any, data: Any, bit: Any, width: Any, length: Any) -> Any:
        del typing_context
        signature = types.UniTuple(types.uint64, 2)(data, bit, width, length)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            pair = _GroupLoop(builder, array, per_word).build(*arguments[1:])
            return context.make_tuple(builder, signature.return_type, pair)

        return signature, generate

    return sums


class _GroupLoop:
    """Generates the loop over the values of a group, 32 per iteration."""

    def __init__(self, builder: Any, array: Any, per_word: int) -> None:
        self._builder, self._array, self._per_word = builder, array, per_word

    def build(self, bit: Any, width: Any, length: Any) -> tuple[Any, Any]:
        """Generate the code; returns both sums."""
        build = self._builder
        positions = _vector(lane % self._per_word + 1 for lane in range(LANES))
        shifts = build.sub(_vector([64] * LANES), build.mul(self._splat(width), positions))
        shifts = build.and_(shifts, _vector([63] * LANES))  # valid shifts for width 0, whose values the mask zeroes
        mask = self._splat(build.sub(build.shl(_I64(1), width), _I64(1)))
        step = build.mul(width, _I64(self._per_word))
        zero, before = _vector([0] * LANES), build.block
        turn, end = build.append_basic_block("turn"), build.append_basic_block("end")
        build.branch(turn)
        build.position_at_end(turn)
        at, left, total, running = (build.phi(kind) for kind in (_I64, _I64, _VECTOR, _VECTOR))
        for state, initial in ((at, bit), (left, length), (total, zero), (running, zero)):
            state.add_incoming(initial, before)
        next_at, next_total, next_running, remaining = at, total, running, self._splat(left)
        for block in range(BLOCKS):
            words, next_at = self._next_words(next_at, step)
            values = build.and_(build.lshr(words, shifts), mask)
            belongs = build.icmp_unsigned(">", remaining, _vector(LANES * block + lane for lane in range(LANES)))
            next_total = build.add(next_total, build.select(belongs, values, zero))
            next_running = build.add(next_running, next_total)
        next_left = build.sub(left, _I64(MARGIN_VALUES))
        for state, then in ((at, next_at), (left, next_left), (total, next_total), (running, next_running)):
            state.add_incoming(then, turn)
        build.cbranch(build.icmp_signed(">", next_left, _I64(0)), turn, end)
        build.position_at_end(end)
        return self._reduce(next_total, next_running, next_left)

    def _next_words(self, at: Any, step: Any) -> tuple[Any, Any]:
        """Load the words of one vector: each lane gets the word that contains its value, left-aligned."""
        build, n_words = self._builder, LANES // self._per_word
        several = ir.VectorType(_I64, n_words)
        words: Any = ir.Constant(several, ir.Undefined)
        for number in range(n_words):
            word = _load(build, self._array, build.lshr(at, _I64(3)))
            words = build.insert_element(words, build.shl(word, build.and_(at, _I64(7))), _I32(number))
            at = build.add(at, step)
        which = ir.Constant(ir.VectorType(_I32, LANES), [lane // self._per_word for lane in range(LANES)])
        return build.shuffle_vector(words, ir.Constant(several, ir.Undefined), which), at

    def _reduce(self, total: Any, running: Any, rest: Any) -> tuple[Any, Any]:
        """Combine the lanes into the two sums."""
        build = self._builder
        kind = ir.FunctionType(_I64, [_VECTOR])
        add_lanes = cgutils.get_or_insert_function(build.module, kind, f"llvm.vector.reduce.add.v{LANES}i64")
        lane = build.mul(total, _vector(range(LANES)))
        whole = build.call(add_lanes, [total])
        blocks = build.call(add_lanes, [build.sub(build.shl(running, _vector([3] * LANES)), lane)])
        return whole, build.add(blocks, build.mul(rest, whole))

    def _splat(self, value: Any) -> Any:
        """Copy a value to all lanes."""
        build, empty = self._builder, ir.Constant(_VECTOR, ir.Undefined)
        one = build.insert_element(empty, value, _I32(0))
        return build.shuffle_vector(one, empty, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _vector(values: Any) -> Any:
    return ir.Constant(_VECTOR, [_I64(value) for value in values])


sums_7bit: Final[Callable[..., Any]] = _make_sums(8)
"""For widths up to 7 bits."""
sums_14bit: Final[Callable[..., Any]] = _make_sums(4)
"""For widths up to 14 bits."""
sums_28bit: Final[Callable[..., Any]] = _make_sums(2)
"""For widths up to 28 bits."""
