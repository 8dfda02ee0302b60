"""The compiled loop that repeats recorded arithmetic. Numba, one thread.

It takes the steps for some points after another, whose numbers stay in a cache. Numbers are rounded as NumPy does it:
there are no fast-math flags.
"""

import numpy as np

from cimstudy.compiled import compiled

BLOCK = 500  # points
FUNCTIONS = (
    np.add,
    np.subtract,
    np.multiply,
    np.divide,
    np.maximum,
    np.minimum,
    np.square,
    np.sqrt,
    np.ceil,
    np.floor,
)
ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM, SQUARE, SQRT, CEIL, FLOOR = range(len(FUNCTIONS))


@compiled(error_model="numpy")
def calculate(steps, held, shared):
    """Fill rows with the results of steps.

    steps : (n, 4), for each a number of `FUNCTIONS`, the rows of its arguments (of one, twice) and of its result, which
    is another one.  held : (rows, points).  shared : how many rows begin with the numbers that all points share, of
    which only the first block is read.
    """
    for start in range(0, held.shape[1], BLOCK):
        n = min(BLOCK, held.shape[1] - start)
        for step in range(steps.shape[0]):
            function, first, second, place = steps[step]
            a = held[first, 0 if first < shared else start :]
            b = held[second, 0 if second < shared else start :]
            found = held[place, start:]
            if function == ADD:
                for i in range(n):
                    found[i] = a[i] + b[i]
            elif function == SUBTRACT:
                for i in range(n):
                    found[i] = a[i] - b[i]
            elif function == MULTIPLY:
                for i in range(n):
                    found[i] = a[i] * b[i]
            elif function == DIVIDE:
                for i in range(n):
                    found[i] = a[i] / b[i]
            elif function == MAXIMUM:
                for i in range(n):
                    found[i] = a[i] if a[i] >= b[i] or a[i] != a[i] else b[i]
            elif function == MINIMUM:
                for i in range(n):
                    found[i] = a[i] if a[i] <= b[i] or a[i] != a[i] else b[i]
            elif function == SQUARE:
                for i in range(n):
                    found[i] = a[i] * a[i]
            elif function == SQRT:
                for i in range(n):
                    found[i] = np.sqrt(a[i])
            elif function == CEIL:
                for i in range(n):
                    found[i] = np.ceil(a[i])
            elif function == FLOOR:
                for i in range(n):
                    found[i] = np.floor(a[i])
