"""Philox4x32-10, the counter-based generator: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

A counter of 128 bits and a key of 64 give four words of 32 bits. One counter at a time is written for Numba; for the
blocks that draws are made of, two blocks take every step together as LLVM instructions, since one alone waits for its
multiplications.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cimstudy.analog.vectors import Typed, everywhere
from cimstudy.compiled import compiled

ROUNDS = 10
FACTORS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
LANES = 16  # counters in a block
TOGETHER = 2  # blocks

LONG = ir.IntType(64)
WORD, HALF = ir.VectorType(LONG, LANES), ir.VectorType(ir.IntType(32), LANES)


@compiled()
def philox(key0, key1, counter):
    """Four random words, (4,) uint32, for one key (two uint32) and one counter, (4,) uint32."""
    x0, x1, x2, x3 = counter[0], counter[1], counter[2], counter[3]
    for _ in range(ROUNDS):
        product0 = np.uint64(FACTORS[0]) * np.uint64(x0)
        product1 = np.uint64(FACTORS[1]) * np.uint64(x2)
        x0 = np.uint32(product1 >> np.uint64(32)) ^ x1 ^ key0
        x1 = np.uint32(product1)
        x2 = np.uint32(product0 >> np.uint64(32)) ^ x3 ^ key1
        x3 = np.uint32(product0)
        key0 = np.uint32(key0 + np.uint32(KEY_STEPS[0]))
        key1 = np.uint32(key1 + np.uint32(KEY_STEPS[1]))
    out = np.empty(4, np.uint32)
    out[0], out[1], out[2], out[3] = x0, x1, x2, x3
    return out


@intrinsic
def put_words(typing_context, key0, key1, plane, places, block, words) -> Typed:
    """Fill `words` (uint32) of TOGETHER blocks from `block` on, 4 * LANES each, word w of all counters side by side.

    key0, key1, plane : uint32.  places : (blocks, 2) int64, row and block of columns: counter c of block b of a row is
    (LANES b + c, low half of the row, plane, its high half).
    """

    def write(context, builder, signature, arguments):
        key, plane = [builder.zext(word, LONG) for word in arguments[:2]], builder.zext(arguments[2], LONG)
        pointers = [
            context.make_array(signature.args[number])(context, builder, arguments[number]).data for number in (3, 5)
        ]
        blocks = [builder.add(arguments[4], LONG(number)) for number in range(TOGETHER)]
        counters = [counters_of(builder, pointers[0], each, plane) for each in blocks]
        for number in range(ROUNDS):
            keys = [
                everywhere(builder, builder.add(k, LONG(number * s)), WORD) for k, s in zip(key, KEY_STEPS, strict=True)
            ]
            counters = mixed(builder, counters, keys)
        for each, found in zip(blocks, counters, strict=True):
            for number, word in enumerate(found):
                place = builder.add(builder.mul(each, LONG(4 * LANES)), LONG(number * LANES))
                pointer = builder.bitcast(builder.gep(pointers[1], [place]), HALF.as_pointer())
                builder.store(builder.trunc(word, HALF), pointer, align=4)
        return context.get_dummy_value()

    return types.void(key0, key1, plane, places, types.intp, words), write


def counters_of(builder: Any, places: Any, block: Any, plane: Any) -> list[Any]:
    """The four words of the counters of a block, each in the lower half of a lane."""
    place = builder.gep(places, [builder.mul(block, LONG(2))])
    row, column = builder.load(place), builder.load(builder.gep(place, [LONG(1)]))
    first = everywhere(builder, builder.mul(column, LONG(LANES)), WORD)
    words = [everywhere(builder, word, WORD) for word in (row, plane, builder.lshr(row, LONG(32)))]
    return [builder.add(first, ir.Constant(WORD, list(range(LANES)))), *words]


def mixed(builder: Any, counters: list[list[Any]], keys: list[Any]) -> list[list[Any]]:
    """One round for all blocks, a step of all before the next. Upper halves of lanes hold what was left over."""
    low, half = constant(0xFFFFFFFF), constant(32)
    factors = [constant(factor) for factor in FACTORS]
    taken = [[builder.and_(words[number], low) for number in (0, 2)] for words in counters]
    products = [[builder.mul(*pair) for pair in zip(words, factors, strict=True)] for words in taken]
    upper = [[builder.lshr(product, half) for product in pair] for pair in products]
    return [
        [
            builder.xor(builder.xor(high[1], words[1]), keys[0]),
            product[1],
            builder.xor(builder.xor(high[0], words[3]), keys[1]),
            product[0],
        ]
        for words, product, high in zip(counters, products, upper, strict=True)
    ]


def constant(number: int) -> Any:
    """The same number in every lane."""
    return ir.Constant(WORD, [number] * LANES)
