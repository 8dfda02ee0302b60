"""The fused loops of the hot path: writing cells, input converters, output converters. Numba, one thread each.

Every function fills arrays that the caller owns. Conductances are fractions of g_max, currents are in cell units.
Rounding is half to even, by adding and subtracting a number whose last bit is 1; fast-math flags must not include
reassociation, which would cancel the two.
"""

import numpy as np

from cimstudy.analog.random import BATCH, BLOCK, FASTMATH, draw_blocks
from cimstudy.analog.vectors import use_wide_vectors
from cimstudy.compiled import compiled

FEW = 8  # vectors (times input pulses) for which a product that reads its matrix once is faster than one in blocks
FIRST_INFINITE = (0x7F800000, 0x7FF0000000000000)  # bits of infinity, single and double precision


@compiled(inline="always")
def sigma_at(c, r):
    """Polynomial law with coefficients `c` (6,) at the conductance `r`, not below 0."""
    sigma = c[0] + r * (c[1] + r * (c[2] + r * (c[3] + r * (c[4] + r * c[5]))))
    return max(sigma, r - r)


@compiled(fastmath=FASTMATH)
def cell_targets(levels, sign, shift, steps, gain, below, g_min, targets):
    """What cells of one polarity are to hold of one slice, fractions of g_max.

    levels : (rows, n), whole numbers, or fractions if weights are not rounded (then steps is 0).  sign : -1 for cells
    that hold negative levels, 1 for others.  shift : bits below the slice.  steps : its largest digit.
    gain, below : a cell's share of its digit's fraction f is clip(gain * f - below, 0, 1).
    targets : (rows, n), filled.
    """
    use_wide_vectors()
    zero, one = targets.dtype.type(0), targets.dtype.type(1)
    span = one - g_min
    scale = one / targets.dtype.type(max(steps, 1))
    for i in range(levels.shape[0]):
        for j in range(levels.shape[1]):
            if steps:
                digit = (max(sign * np.int32(levels[i, j]), np.int32(0)) >> np.int32(shift)) & np.int32(steps)
                fraction = scale * targets.dtype.type(digit)
            else:
                fraction = targets.dtype.type(sign) * targets.dtype.type(levels[i, j])
            targets[i, j] = g_min + span * min(max(gain * fraction - below, zero), one)


@compiled(fastmath=FASTMATH)
def write_normal(targets, sigma, z, written):
    """Conductances as written: target plus a normal error, not below 0.

    targets : (n,).  sigma : (6,), law of the error.  z : (n,) standard normals.  written : (n,), filled.
    """
    use_wide_vectors()
    zero = written.dtype.type(0)
    for j in range(len(targets)):
        written[j] = max(targets[j] + sigma_at(sigma, targets[j]) * z[j], zero)


@compiled(fastmath=FASTMATH)
def variance_of(conductances, law, variances):
    """Squares of a law (6,) at conductances (n,), into variances (n,)."""
    use_wide_vectors()
    for j in range(len(conductances)):
        sigma = sigma_at(law, conductances[j])
        variances[j] = sigma * sigma


@compiled(fastmath=FASTMATH)
def add_differences(plus, minus, weight, sums):
    """Add `weight` times plus minus minus, (rows, n), to `sums`, (rows, n)."""
    use_wide_vectors()
    for i in range(plus.shape[0]):
        for j in range(plus.shape[1]):
            sums[i, j] += weight * (plus[i, j] - minus[i, j])


@compiled()
def largest_bits(bits):
    """Magnitude of the largest of floats that are given as integers of the same size, (n,), as such an integer.

    Magnitudes of floats are ordered like them, NaN and infinity last; a maximum of integers is a vector instruction.
    """
    use_wide_vectors()
    magnitude = bits.dtype.type(np.iinfo(bits.dtype).max)
    largest = bits.dtype.type(0)
    for j in range(len(bits)):
        largest = max(largest, bits.dtype.type(bits[j] & magnitude))  # for Numba, `&` has 64 bits
    return largest


@compiled()
def are_between(bits, lowest, highest):
    """Whether the largest magnitude of each vector is 0 or from `lowest` to `highest`: integers, as bits (batch, n)."""
    for i in range(len(bits)):
        largest = largest_bits(bits[i])
        if largest > highest or 0 < largest < lowest:
            return False
    return True


@compiled()
def convert_inputs(x, bits, full_scale, bottom, top, levels, scales):
    """Round inputs to levels. False if any input is not finite.

    x : (batch, n_in).  bits : the same memory as integers of the same size.
    full_scale : the input that drives a row fully, 0 for each vector's largest magnitude.
    bottom : -1 for levels below zero, 0 for none.  top : largest level, 0 to keep fractions.
    levels : (batch, n_in), filled with level or fraction.
    scales : (batch,), filled with input per level.
    """
    one = levels.dtype.type(1)
    steps = levels.dtype.type(top) if top else one
    lift = one * levels.dtype.type(2.0**100)
    finite = True
    place = np.empty(1, bits.dtype)
    value = place.view(x.dtype)
    for i in range(x.shape[0]):
        largest = largest_bits(bits[i])
        place[0] = largest
        full = full_scale if full_scale > 0 else (value[0] if largest else one)
        finite &= np.isfinite(full) and largest < FIRST_INFINITE[x.itemsize // 8]
        if np.isfinite(steps / full):
            convert_row(x[i], steps / full, levels.dtype.type(bottom) * steps, steps, top, levels[i])
        else:  # numbers so small that they have no inverse
            convert_row(x[i] * lift, steps / (full * lift), levels.dtype.type(bottom) * steps, steps, top, levels[i])
        scales[i] = full / steps
    return finite


@compiled(fastmath=FASTMATH)
def convert_row(x, gain, low, steps, top, levels):
    """One vector's inputs, clipped and rounded: (n_in,)."""
    use_wide_vectors()
    if top:
        for j in range(len(x)):
            levels[j] = np.rint(min(max(x[j] * gain, low), steps))
    else:
        for j in range(len(x)):
            levels[j] = min(max(x[j] * gain, low), steps)


@compiled()
def serial_digits(levels, bits, digits):
    """Signed digits of input levels, least significant first.

    levels : (batch, n_in), whole numbers.  bits : of one digit.  digits : (cycles, batch, n_in), filled.
    """
    use_wide_vectors()
    mask = np.int32((1 << bits) - 1)
    for cycle in range(digits.shape[0]):
        shift = np.int32(cycle * bits)
        for i in range(levels.shape[0]):
            for j in range(levels.shape[1]):
                level = np.int32(levels[i, j])
                digit = (abs(level) >> shift) & mask
                digits[cycle, i, j] = digit if level >= 0 else -digit


@compiled(fastmath=FASTMATH)
def convert_row_and_add(currents, gain, rounding, weight, sums):
    """Output converters of one vector's columns and shift-add: scale to codes, clip, round, weigh, add.

    currents : (n,).  gain : codes per unit of current.  rounding : smallest and largest code, 1.5 * 2**(mantissa bits).
    weight : value of a code.  sums : (n,), added to.
    """
    use_wide_vectors()
    bottom, top, magic = rounding
    for j in range(len(currents)):
        code = min(max(currents[j] * gain, bottom), top)
        sums[j] += weight * ((code + magic) - magic)


@compiled(fastmath=FASTMATH)
def convert_noisy(currents, sigmas, z, gain, rounding):
    """Turn currents (n,) with noise of these deviations (n,) and standard normals (n,) into codes."""
    use_wide_vectors()
    bottom, top, magic = rounding
    for j in range(len(currents)):
        code = min(max((currents[j] + sigmas[j] * z[j]) * gain, bottom), top)
        currents[j] = (code + magic) - magic


@compiled(fastmath=FASTMATH)
def add_codes(codes, weight, sums):
    """Add codes (n,), each worth `weight`, to `sums` (n,).

    A loop of its own where sums come from afar: with few steps between them, the processor asks for many at a time.
    """
    use_wide_vectors()
    for j in range(len(codes)):
        sums[j] += weight * codes[j]


@compiled(fastmath=FASTMATH)
def convert_slices(currents, rounding, gains, weights, sums):
    """Output converters of some slices: a vector's sums stay in the first-level cache until all are added.

    currents : (slices, lines, cycles, batch, n).  rounding : as in `convert_row_and_add`.  gains : (slices,).
    weights : (slices, lines, cycles).  sums : (batch, n), added to.
    """
    slices, lines, cycles = currents.shape[:3]
    for i in range(sums.shape[0]):
        for index in range(slices):
            for line in range(lines):
                for cycle in range(cycles):
                    row, weight = currents[index, line, cycle, i], weights[index, line, cycle]
                    convert_row_and_add(row, gains[index], rounding, weight, sums[i])


@compiled(fastmath=FASTMATH)
def read_and_convert(pulses, planes, edges, rounding, gains, weights, first_column, sums):
    """All products, output converters and sums of few vectors, with every conductance read from memory once.

    pulses : (cycles, batch, n_in).  planes : (slices, lines, n_in, n_out).  edges : (tiles + 1,), rows of each array.
    rounding : as in `convert_row_and_add`.  gains : (slices,), codes per unit of current.
    weights : (slices, lines, cycles), value of a code.  sums : (batch, n), of columns from `first_column` on, added to.
    """
    currents = np.empty((1, 1, *pulses.shape[:2], sums.shape[1]), sums.dtype)
    for tile in range(len(edges) - 1):
        for index in range(planes.shape[0]):
            for line in range(planes.shape[1]):
                multiply_few(pulses, planes[index, line], edges[tile], edges[tile + 1], first_column, currents[0, 0])
                one = slice(index, index + 1)
                convert_slices(currents, rounding, gains[one], weights[one, line : line + 1], sums)


@compiled(fastmath=FASTMATH)
def multiply_few(pulses, cells, first, last, left, currents):
    """Currents (cycles, batch, n) of columns from `left` on, of rows from `first` to `last`, eight at a time."""
    currents[:] = 0
    right = left + currents.shape[2]
    for i in range(first, last - 7, 8):
        for cycle in range(currents.shape[0]):
            for vector in range(currents.shape[1]):
                add_eight_rows(pulses[cycle, vector], cells, i, left, right, currents[cycle, vector])
    for i in range(last - (last - first) % 8, last):
        for cycle in range(currents.shape[0]):
            for vector in range(currents.shape[1]):
                add_row(pulses[cycle, vector, i], cells[i, left:right], currents[cycle, vector])


@compiled(fastmath=FASTMATH)
def add_eight_rows(u, cells, i, left, right, currents):
    """Add what rows `i` to `i` + 7 carry, driven by `u` (n_in,), to `currents` (n,) of columns from `left` on."""
    use_wide_vectors()
    a, b, c, d, e, f, g, h = u[i], u[i + 1], u[i + 2], u[i + 3], u[i + 4], u[i + 5], u[i + 6], u[i + 7]
    p, q, r, s = cells[i, left:right], cells[i + 1, left:right], cells[i + 2, left:right], cells[i + 3, left:right]
    v, w, x, y = cells[i + 4, left:right], cells[i + 5, left:right], cells[i + 6, left:right], cells[i + 7, left:right]
    for j in range(right - left):
        sum_ = currents[j] + a * p[j]  # one after the other, as blocks do: a fused multiply-add each
        sum_ = sum_ + b * q[j]
        sum_ = sum_ + c * r[j]
        sum_ = sum_ + d * s[j]
        sum_ = sum_ + e * v[j]
        sum_ = sum_ + f * w[j]
        sum_ = sum_ + g * x[j]
        currents[j] = sum_ + h * y[j]


@compiled(fastmath=FASTMATH)
def add_row(u, cells, currents):
    """Add what one row of cells (n,) carries, driven by `u`, to `currents` (n,)."""
    use_wide_vectors()
    for j in range(len(currents)):
        currents[j] += u * cells[j]


@compiled(fastmath=FASTMATH)
def add_weighted(currents, weights, sums):
    """Add currents (cycles, batch, n), weighed by weights (cycles,), to `sums` (batch, n)."""
    use_wide_vectors()
    for cycle in range(currents.shape[0]):
        weight = weights[cycle]
        for i in range(currents.shape[1]):
            row, out = currents[cycle, i], sums[i]
            for j in range(currents.shape[2]):
                out[j] += weight * row[j]


@compiled(fastmath=FASTMATH)
def distort(currents, gain, bottom, top, mismatch, bends):
    """Turn currents into what imperfect converters round: unrounded codes with mismatch and integral nonlinearity.

    currents : (cycles, batch, n), overwritten.  gain : codes per unit of current.  bottom, top : smallest and largest
    code.  mismatch : (2, n), gains and offsets, the latter in ranges.  bends : (2,), largest even and odd deviation, in
    ranges.
    """
    use_wide_vectors()
    gains, offsets = mismatch[0], mismatch[1]
    one, bow, s_shape = top / top, bends[0], bends[1] * currents.dtype.type(1.5 * np.sqrt(3.0))
    for cycle in range(currents.shape[0]):
        for i in range(currents.shape[1]):
            row = currents[cycle, i]
            for j in range(currents.shape[2]):
                code = min(max(gains[j] * gain * row[j] + offsets[j] * top, bottom), top)
                p = (code + code - top - bottom) / (top - bottom)
                row[j] = code + top * (bow * (one - p * p) + s_shape * (p - p * p * p))


@compiled(fastmath=FASTMATH)
def scale_and_add(variances, z, sums):
    """Add sqrt(variance) * z to `sums`, (n,); `variances` (n,) or (1,)."""
    use_wide_vectors()
    if len(variances) == 1:
        sigma = np.sqrt(variances[0])
        for j in range(len(z)):
            sums[j] += sigma * z[j]
    else:
        for j in range(len(z)):
            sums[j] += np.sqrt(variances[j]) * z[j]


@compiled()
def add_noise(currents, variances, key, plane, first_vector, first_column):
    """Add read noise, drawn once per converter input with the exact variance of its column.

    currents : (cycles, batch, n), changed.  variances : (cycles, batch, n) or (cycles, batch, 1).
    key : (2,) uint32; cycle c is plane + c, and a draw's row is its vector's number: first_vector + i.
    first_column : of the whole matrix, a multiple of BLOCK.
    """
    cycles, batch, n = currents.shape
    across = (n + BLOCK - 1) // BLOCK
    single = variances.shape[2] == 1
    places = np.zeros((BATCH, 2), np.int64)
    words = np.empty(BATCH * BLOCK, np.uint32)
    z, logs = np.empty(BATCH * BLOCK, np.float32), np.empty(BATCH * BLOCK, np.float32)
    for cycle in range(cycles):
        flat, flat_variances = currents[cycle].reshape(-1), variances[cycle].reshape(-1)
        for start in range(0, batch * across, BATCH):
            count = min(BATCH, batch * across - start)
            for block in range(count):
                places[block, 0] = first_vector + (start + block) // across
                places[block, 1] = first_column // BLOCK + (start + block) % across
            draw_blocks(key, np.uint32(plane + cycle), places, z, words, logs)
            if count == BATCH and n % BLOCK == 0 and not single:  # all blocks side by side
                together = slice(start * BLOCK, (start + BATCH) * BLOCK)
                scale_and_add(flat_variances[together], z, flat[together])
                continue
            for block in range(count):
                i, first = (start + block) // across, (start + block) % across * BLOCK
                last = min(n, first + BLOCK)
                spread = variances[cycle, i, 0:1] if single else variances[cycle, i, first:last]
                scale_and_add(spread, z[block * BLOCK : block * BLOCK + last - first], currents[cycle, i, first:last])
