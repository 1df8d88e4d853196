"""A point of small gradient is no minimum yet: certify it, and find the way down where it is a saddle.

The way down starts along the direction of negative curvature, or, where curvature is zero and higher orders
decide, along random directions of zero curvature: both signs, at lengths from the width of the box down by
powers of two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hybridopt.core import Evaluation, Query, project
from hybridopt.evaluate import Evaluator
from hybridopt.landscape.certificate import PRODUCTS, Certificate, inspect
from hybridopt.landscape.products import HessianProducts, product_price
from hybridopt.landscape.spectrum import DENSE
from hybridopt.rng import generator
from hybridopt.start import widths

LENGTHS = 24
DIRECTIONS = 8
LANCZOS_LEAST = 30

Book = Callable[[Evaluation, str], None]


@dataclass(frozen=True)
class Settled:
    """What became of a point of small gradient.

    Attributes
    ----------
    outcome : {"minimum", "way down", "saddle", "unsure", "not stationary"}
        "saddle": one that could not be left with the budget there is; "unsure": that could not even be told;
        "not stationary": the point itself has a gradient, though the method settled elsewhere.
    certificate : Certificate, optional
    x : Tensor of shape (dim,), optional
        Where to go on, for "way down".
    """

    outcome: Literal["minimum", "way down", "saddle", "unsure", "not stationary"]
    certificate: Certificate | None = None
    x: Tensor | None = None


def settle(evaluate: Evaluator, x: Tensor, tol: float, left: float, pay: Book) -> Settled:
    """Certify the point x of shape (dim,), and look for a way down if it is no minimum.

    Parameters
    ----------
    evaluate : Evaluator
    x : Tensor, shape (dim,)
    tol : float
        What counts as a gradient of zero.
    left : float
        Units that may be spent.
    pay : callable
        Told of every evaluation and its phase.
    """
    price = product_price(evaluate.objective)
    products = len(x) if len(x) <= DENSE else min(PRODUCTS, int(min(left, 1e9) - 2) // price)
    if products < min(len(x), LANCZOS_LEAST) or left < 2 + price * products:
        return Settled("unsure")
    spent = 0

    def book(answer: Evaluation, phase: str = "certificate") -> None:
        nonlocal spent
        spent += answer.cost
        pay(answer, phase)

    certificate = inspect(HessianProducts(evaluate, x, pay=book), grad_tol=tol, max_products=products)
    if certificate.verdict in ("minimum", "not stationary"):
        return Settled(certificate.verdict, certificate)
    strict = certificate.verdict in ("strict saddle", "maximum")
    directions = certificate.direction[None] if strict and certificate.direction is not None else None
    if directions is None:
        directions = _combined(certificate.flat, evaluate.seed)
    points = rays(x, directions, evaluate.lower, evaluate.upper)
    if len(points) > left - spent:
        return Settled("saddle" if strict else "unsure", certificate)
    # where curvature is zero, a drop that the rest of the gradient explains is no way down
    slope = 0.0 if strict else 10 * float(certificate.grad.norm())
    excess = slope * (points - x).norm(dim=1)
    row = _lower(evaluate, points, excess, certificate, book) if len(points) else None
    if row is None:
        return Settled("saddle" if strict else "minimum", certificate)
    return Settled("way down", certificate, points[row].clone())


def rays(x: Tensor, directions: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Points x +- t d inside the box, t from its width down by powers of two; (2 k LENGTHS, dim)."""
    both = torch.cat([directions, -directions])
    room = torch.where(both > 0, upper - x, x - lower) / both.abs().clamp_min(1e-300)
    reach = torch.minimum(room.amin(1), widths(x, lower, upper).norm())
    powers = 0.5 ** torch.arange(LENGTHS, dtype=x.dtype, device=x.device)
    points = x + (reach[:, None] * powers)[:, :, None] * both[:, None, :]
    return project(points.reshape(-1, len(x)), lower, upper)


def _lower(
    evaluate: Evaluator, points: Tensor, excess: Tensor, certificate: Certificate, book: Book
) -> int | None:
    """The lowest of the points (its row), if it lies lower than rounding and `excess` explain."""
    answer = evaluate(Query(points, 0, -1))
    book(answer, "way down")
    rounding = 10 * torch.finfo(points.dtype).eps * abs(certificate.value)
    value = torch.where(answer.value < certificate.value - rounding - excess, answer.value, torch.inf)
    row = int(value.argmin())
    return row if bool(torch.isfinite(value[row])) else None


def _combined(flat: Tensor, seed: int) -> Tensor:
    """Random unit vectors of a flat subspace; the one there is, if it is a line; (k, dim)."""
    if len(flat) < 2:
        return flat
    g = generator(seed, "flat directions", device=flat.device)
    mixed = torch.randn(DIRECTIONS, len(flat), generator=g, dtype=flat.dtype, device=flat.device) @ flat
    return torch.nn.functional.normalize(mixed, dim=1)
