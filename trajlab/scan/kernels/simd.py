"""Products of a few rows of numbers with a few columns, kept in the vector registers of the processor.

Loops that numba compiles keep one number a time in a register; a product of matrices runs at full speed only if a
whole tile of it stays there. So this one is written as LLVM has it.
"""

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Numbers in a vector; a processor with narrower registers takes several for it."""

ROWS = 4
"""Rows of a tile."""

_FAST = ("contract",)
_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)


def _tile(vectors):
    """Make an intrinsic for tiles of so many vectors side by side."""

    @intrinsic
    def tile(typing, g, bases, offsets, taps, weights, stride, sizes, squares, net, net_stride, scale):
        """Add a tile of v = g · weights to sums.

        All but three are addresses: `g`, float32; `bases`, int64, where in it each row begins; `offsets`, int64, how
        far from there each of the `taps` factors is; `weights`, float32, rows `stride` apart, one a tap; and what is
        added to, float32: `sizes` Σ|v| and `squares` Σv² over the rows, `net` scale · v, rows `net_stride` apart.
        """
        whole = types.uint64
        arguments = (whole, whole, whole, types.intp, whole, types.intp, whole, whole, whole, types.intp, types.float32)

        def generate(context, builder, signature, given):
            return _generate(builder, vectors, *given)

        return types.void(*arguments), generate

    return tile


WIDE = 4 if get_host_cpu_features().get("avx512f") else 2
"""Vectors side by side in the widest tile; it fills the registers of the processor."""

tile_1, tile_2, tile_wide = _tile(1), _tile(2), _tile(WIDE)


def _generate(builder, vectors, g, bases, offsets, taps, weights, stride, sizes, squares, net, net_stride, scale):
    g, bases, offsets, weights, sizes, squares, net = (
        builder.inttoptr(address, cgutils.voidptr_t) for address in (g, bases, offsets, weights, sizes, squares, net)
    )

    def at(address, position, kind):
        typed = builder.bitcast(address, kind.as_pointer())
        return builder.gep(typed, [position])

    def number(value):
        return ir.Constant(_INT, value)

    def load(pointer):
        return builder.load(pointer, align=4)

    def splat(value):
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), order)

    def vector(address, position):
        return builder.bitcast(at(address, position, _FLOAT), _VECTOR.as_pointer())

    def add(a, b, c):
        return builder.fadd(a, builder.fmul(b, c, flags=_FAST), flags=_FAST)

    zero = ir.Constant(_VECTOR, [0.0] * LANES)
    sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(vectors)] for _ in range(ROWS)]
    for row in sums:
        for place in row:
            builder.store(zero, place)
    rows = [at(g, builder.load(at(bases, number(i), _INT)), _FLOAT) for i in range(ROWS)]
    with cgutils.for_range(builder, taps, intp=_INT) as loop:
        offset = builder.load(at(offsets, loop.index, _INT))
        own = builder.mul(loop.index, stride)
        factors = [load(vector(weights, builder.add(own, number(LANES * v)))) for v in range(vectors)]
        for row, places in zip(rows, sums, strict=True):
            factor = splat(load(builder.gep(row, [offset])))
            for place, other in zip(places, factors, strict=True):
                builder.store(add(builder.load(place), factor, other), place)
    kind = ir.FunctionType(_VECTOR, [_VECTOR])
    absolute = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{LANES}f32")
    scales = splat(scale)
    for v in range(vectors):
        own = number(LANES * v)
        size, square = load(vector(sizes, own)), load(vector(squares, own))
        for i, row in enumerate(sums):
            value = builder.load(row[v])
            size = builder.fadd(size, builder.call(absolute, [value]), flags=_FAST)
            square = add(square, value, value)
            target = vector(net, builder.add(builder.mul(number(i), net_stride), own))
            builder.store(add(load(target), scales, value), target, align=4)
        builder.store(size, vector(sizes, own), align=4)
        builder.store(square, vector(squares, own), align=4)
