"""Sobol indices of whatever points there are, by regression on polynomials of the axes ("polynomial chaos").

A Sobol sequence, a Latin hypercube or a list of points has no pairs of points that differ in one axis, as the designs
of Saltelli's estimators do. A sum of products of polynomials, one for each axis and orthogonal over the points, fits
any of them, and its squared coefficients are the variances of its terms (Sudret, Reliability Engineering and System
Safety 93, 964, 2008). The degree is the one that predicts points left out best (Blatman and Sudret, Journal of
Computational Physics 230, 2345, 2011).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray

from cimstudy.analysis.shares import Floats

MOST_DEGREE = 12
MOST_TOGETHER = 3  # axes in one term
MOST_TERMS = 600
POINTS_PER_TERM = 2.0  # at least, or the fit follows noise


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Functions of one axis: columns (points, functions) with mean 0 and mean square 1, and the degree of each."""

    columns: Floats
    degrees: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A regression: coefficients (terms, chips), the axes of each term, the share of variance it predicts elsewhere."""

    coefficients: Floats
    axes: Sequence[tuple[int, ...]]
    predicted: float


def numeric_basis(values: NDArray[Any]) -> Basis:
    """Polynomials of the rank of a number among the values of its axis, which range evenly, or evenly in their log."""
    levels, codes = np.unique(values, return_inverse=True)
    degree = min(MOST_DEGREE, len(levels) - 1)
    places = np.linspace(-1, 1, len(levels))[codes] if len(levels) > 1 else np.zeros(len(codes))
    return Basis(columns=orthonormal(legvander(places, degree)), degrees=range(1, degree + 1))


def category_basis(codes: NDArray[np.intp]) -> Basis:
    """All functions of a name, each of degree 1. codes : the number of each point's name."""
    dummies = codes[:, None] == np.arange(codes.max() + 1)
    columns = orthonormal(np.concatenate([np.ones((len(codes), 1)), dummies[:, 1:]], axis=1))
    return Basis(columns=columns, degrees=[1] * columns.shape[1])


def orthonormal(columns: NDArray[Any]) -> Floats:
    """The columns after the first, a constant, orthogonal to all before, of mean square 1."""
    q, _ = np.linalg.qr(columns)
    found: Floats = q[:, 1:] * np.sqrt(len(columns))
    return found


def fit(bases: Sequence[Basis], response: Floats) -> Fit:
    """The regression that predicts points left out best. response : (points, chips)."""
    best: Fit | None = None
    mean = response.mean(1)
    for terms in candidates(bases, len(response)):
        table = np.stack([np.ones(len(response)), *(product(bases, term) for term in terms)], axis=1)
        q, r = np.linalg.qr(table)
        if np.abs(np.diag(r)).min() < 1e-9 * np.abs(np.diag(r)).max():
            continue  # these points do not tell some terms apart
        predicted = 1 - left_out(q, r, mean) / max(mean.var(), np.finfo(float).tiny)
        if best is None or predicted > best.predicted:
            coefficients = np.linalg.solve(r, q.T @ response)[1:]
            best = Fit(
                coefficients=coefficients, axes=[tuple(a for a, _ in term) for term in terms], predicted=predicted
            )
    return best or Fit(coefficients=np.zeros((0, response.shape[1])), axes=[], predicted=0.0)


def left_out(q: Floats, r: Floats, response: Floats) -> float:
    """The mean square error at points left out one by one, corrected for choosing terms (Blatman and Sudret, 2011)."""
    points, terms = q.shape
    rest = response - q @ (q.T @ response)
    single = rest / np.maximum(1 - (q**2).sum(1), 1e-12)
    spread = float((np.linalg.inv(r) ** 2).sum())  # trace of the inverse of the normal equations
    return float((single**2).mean() * points / (points - terms) * (1 + spread))


Term = tuple[tuple[int, int], ...]  # an axis and one of its functions, for each axis in the term


def candidates(bases: Sequence[Basis], points: int) -> Iterator[Sequence[Term]]:
    """Sets of terms, by total degree and by how many axes meet in one, as large as the points carry."""
    most = min(MOST_TERMS, int(points / POINTS_PER_TERM) - 1)
    for together in range(1, min(MOST_TOGETHER, len(bases)) + 1):
        before = 0
        for degree in range(together, MOST_DEGREE + 1):
            found = list(itertools.islice(terms_of(bases, degree, together), most + 1))
            if len(found) > most:
                break
            if len(found) > before:
                yield found
            before = len(found)


def terms_of(bases: Sequence[Basis], degree: int, together: int) -> Iterator[Term]:
    """All terms of at most this total degree and this many axes."""
    for count in range(1, together + 1):
        for axes in itertools.combinations(range(len(bases)), count):
            highest = degree - count + 1
            choices = [[f for f, own in enumerate(bases[axis].degrees) if own <= highest] for axis in axes]
            for chosen in itertools.product(*choices):
                if sum(bases[axis].degrees[f] for axis, f in zip(axes, chosen, strict=True)) <= degree:
                    yield tuple(zip(axes, chosen, strict=True))


def product(bases: Sequence[Basis], term: Term) -> Floats:
    """A term at all points."""
    found: Floats = np.prod([bases[axis].columns[:, function] for axis, function in term], axis=0)
    return found
