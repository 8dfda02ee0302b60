"""The keys of highest relevance, from tables of centroids: HARDSEA (Liu et al., doi 10.1109/tvlsi.2023.3337777).

A key is cut into parts, and each part stands for its nearest centroid. A query's relevance to a key is the sum over
parts of its product with the centroid, read from a table of few entries (product quantisation, Jegou et al. 2011).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np

from cimstudy.analog import program_matrix
from cimstudy.errors import InputError
from cimstudy.hardware import Attention, Crossbar, ProductQuantisedAttention
from cimstudy.transformer.attention import Block, Meeting, digital_scores
from cimstudy.transformer.calibration import Tokens
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.model import Model
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.heads import HeadMatrices
from cimstudy.transformer.schemes.kept import attend_to_kept, highest
from cimstudy.transformer.schemes.operands import Operands, calibration_meetings
from cimstudy.transformer.schemes.search import IN_ARRAYS
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup

ROUNDS = 25  # of k-means, which has settled by then


@dataclass(frozen=True, eq=False, kw_only=True)
class ProductQuantised(Scheme):
    """Softmax over the k keys of highest relevance.

    codebooks : of each layer, (kv_heads, subspaces, centroids, width of a part).  tables : the same as matrices that
    queries are multiplied by, one for each head and part.
    """

    searches = ("digital", "crossbar", "dynamic-crossbar")

    operands: Operands
    k: int
    codebooks: tuple[Array, ...]
    tables: HeadMatrices

    @classmethod
    def check(cls, config: TransformerConfig, given: Attention) -> None:
        """Raise InputError for parts that do not fill a key."""
        assert isinstance(given, ProductQuantisedAttention)  # noqa: S101 - chosen by type
        if config.head_width % given.subspaces:
            raise InputError(
                f"architecture.attention.subspaces = {given.subspaces} for heads of width {config.head_width}; "
                "allowed: a divisor"
            )

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given, config = setup.hardware.architecture.attention, setup.model.config
        assert isinstance(given, ProductQuantisedAttention)  # noqa: S101 - chosen by type
        books = tuple(
            codebooks(setup.model, setup.calibration, layer, (given.subspaces, given.centroids))
            for layer in range(config.layers)
        )
        return cls(operands=Operands.of(setup, met), k=given.k, codebooks=books, tables=tables_of(setup, books))

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found = met(asked)
        coded = self.coded(asked, found)
        asked.count(searches=asked.tokens * found.q.shape[1])

        def keep(block: Block, scores: Array) -> Array:
            relevance = digital_scores(coded, block)
            return highest(np.where(scores > -np.inf, relevance, -np.inf), self.k)

        return attend_to_kept(asked, found, self.operands, keep)

    def coded(self, asked: Asked, found: Meeting) -> Meeting:
        """A meeting whose scores are relevances: of what queries find in tables with where keys point in them."""
        books = self.codebooks[asked.layer]
        heads, parts, entries, width = books.shape
        sequences, _, length, _ = found.q.shape
        q = found.q.reshape(sequences, heads, -1, length, parts, width).transpose(0, 1, 4, 2, 3, 5)
        read = self.tables.times(asked.layer, q.reshape(sequences, -1, length, width), asked.first_vector)
        read = read.reshape(sequences, heads, parts, -1, length, entries).transpose(0, 1, 3, 4, 2, 5)
        points = np.arange(entries) == nearest(found.k.reshape(*found.k.shape[:3], parts, width), books)[..., None]
        return replace(
            found,
            q=np.ascontiguousarray(read).reshape(sequences, -1, length, parts * entries),
            k=points.astype(np.float32).reshape(*found.k.shape[:3], parts * entries),
        )


def tables_of(setup: Setup, books: tuple[Array, ...]) -> HeadMatrices:
    """Tables of each layer, in arrays where the search is, with neither rounding nor converters."""
    weights, arrays = {}, {}
    for layer, book in enumerate(books):
        matrices = np.ascontiguousarray(book.reshape(-1, *book.shape[2:]).swapaxes(-1, -2))
        weights[layer], name = matrices, setup.operator(layer, "search")
        if setup.hardware.engine(name) in IN_ARRAYS:
            given = setup.hardware.of(name)
            crossbar = Crossbar(rows=given.crossbar.rows, weights=given.crossbar.weights, dac=None, adc=None)
            hardware, key = given.replace("crossbar", crossbar), setup.key.of(f"layers.{layer}.attention.tables")
            arrays[layer] = [
                program_matrix(w, hardware, key.of(f"table {number}"), time=setup.time)
                for number, w in enumerate(matrices)
            ]
    return HeadMatrices(weights=weights, arrays=arrays)


@lru_cache(maxsize=256)
def codebooks(model: Model, tokens: Tokens, layer: int, sizes: tuple[int, int]) -> Array:
    """Centroids of the parts of a layer's keys in the digital run: (kv_heads, parts, centroids, width of a part)."""
    parts, count = sizes
    k = calibration_meetings(model, tokens, met)[layer].k
    points = k.swapaxes(0, 1).reshape(k.shape[1], -1, parts, k.shape[3] // parts)  # (kv_heads, vectors, parts, width)
    return np.stack([[centroids(points[head, :, part], count) for part in range(parts)] for head in range(len(points))])


def centroids(points: Array, count: int) -> Array:
    """Centroids (count, n) of points (vectors, n) by k-means, which begins with points evenly spread over the batch."""
    found: Array = points[np.linspace(0, len(points) - 1, count).astype(int)].copy()
    for _ in range(ROUNDS):
        mine = nearest(points[None, None, :, None], found[None, None])[0, 0, :, 0]
        for number in np.unique(mine):
            found[number] = points[mine == number].mean(axis=0)
    return found


def nearest(parts: Array, books: Array) -> Array:
    """Number of the nearest centroid: parts (sequences, heads, K, parts, n), books (heads, parts, centroids, n).

    Returns (sequences, heads, K, parts).
    """
    products: Array = np.einsum("shkmn,hmcn->shkmc", parts, books)
    lengths: Array = np.einsum("hmcn,hmcn->hmc", books, books)
    found: Array = (lengths[None, :, None] - 2 * products).argmin(axis=-1)
    return found
