"""CMA-ES: a normal distribution that learns where to go, how far, and in which shape, from ranks alone.

The active (mu/mu_w, lambda)-CMA-ES of the tutorial [1], with a full or a diagonal covariance, many
independent runs in one batch, and boxes by reflection. Numbers of equations are those of [1].

References
----------
.. [1] N. Hansen (2016, revised 2023), The CMA evolution strategy: a tutorial, arXiv:1604.00772.
.. [2] O. Krause, D. R. Arbonès, C. Igel (2016), CMA-ES with optimal covariance update and storage complexity,
   NeurIPS 29.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

import torch
from torch import Tensor

from hybridopt.check import check_positive, check_whole
from hybridopt.core import Evaluation, Query, State, Traits, project
from hybridopt.evolution.cmaes.constants import Constants, constants, default_population
from hybridopt.evolution.cmaes.coordinates import Coordinates, Fold, coordinates, to_point, to_unit
from hybridopt.evolution.cmaes.covariance import KINDS, Covariance
from hybridopt.rng import generator
from hybridopt.start import fill, refuse_coarse

Distribution = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Mean, sigma, covariance, path_sigma, path_c, as in `CMAESState`."""


@dataclass(frozen=True)
class CMAESState(State):
    """State of `CMAES`. Of shape (runs, ...) are those of each run, in unit coordinates.

    Attributes
    ----------
    coordinates : Coordinates
        What unit coordinates mean.
    mean : Tensor, shape (runs, 1, dim)
    sigma : Tensor, shape (runs, 1, 1)
        Step size: samples are mean + sigma N(0, covariance).
    covariance, factor : Tensor, shape (runs, dim, dim), or (runs, 1, dim) where separable
        C, and A with A A' = C when it was last taken.
    path_sigma, path_c : Tensor, shape (runs, 1, dim)
        Evolution paths of step size (in coordinates of z) and covariance.
    weights : Tensor, shape (runs, 3, population_size)
        By rank: those of the mean, and the positive and the negative ones of the covariance.
    z, y : Tensor, shape (runs, population_size, dim)
        Standard normal draws of the generation that is to be asked for, and A z.
    pending : Tensor, shape (runs * population_size, dim)
        Its points; those of the first run come first.
    """

    coordinates: Coordinates
    mean: Tensor
    sigma: Tensor
    covariance: Tensor
    factor: Tensor
    path_sigma: Tensor
    path_c: Tensor
    weights: Tensor
    z: Tensor
    y: Tensor
    pending: Tensor


@dataclass(frozen=True)
class CMAES:
    """Covariance matrix adaptation evolution strategy.

    Every generation asks for `runs * population_size` values: normal samples around each run's mean. The
    first rows that `init` is given become the means. In finite boxes the search lives in widths of the box;
    samples beyond a bound are reflected, and the strategy does not see that
    (`hybridopt.evolution.cmaes.coordinates`); no standard deviation grows beyond a third of the width.
    Generations whose values are all equal, or all infinite, change nothing.

    Parameters
    ----------
    population_size : int, at least 2, optional
        Samples of a run in a generation, lambda; by default 4 + floor(3 ln dim). More make the search more
        global and slower.
    runs : int, at least 1
        Independent runs in one batch; rows of one never influence another.
    covariance : {"full", "separable"}
        A matrix, or a diagonal, which learns faster and knows no correlations.
    sigma0 : float, > 0
        First step size, in units of `scale`. The minimum should lie within a few of them; [1] takes 0.3.
    scale : float or tuple of float, > 0, optional
        Length scale of each coordinate, in the coordinates of x; by default `hybridopt.start.widths`: the
        width of the box, or max(1, abs(x)) of the first row where there is none.

    Raises
    ------
    TypeError, ValueError
        If a parameter is no number, or has an impossible value.

    Examples
    --------
    >>> import hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2,
    ...     bounds=[(-5, 4), (-5, 4)],
    ...     method=hybridopt.CMAES(),
    ...     max_evals=2000,
    ...     seed=0,
    ... )
    >>> bool(result.fun < 1e-9)
    True

    References
    ----------
    N. Hansen (2016), arXiv:1604.00772, figure 6 and table 1; a Cholesky factor in place of C^(1/2) as in
    O. Krause, D. R. Arbonès, C. Igel (2016), NeurIPS 29.
    """

    population_size: int | None = None
    _: KW_ONLY
    runs: int = 1
    covariance: Literal["full", "separable"] = "full"
    sigma0: float = 0.3
    scale: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.population_size is not None:
            check_whole("population_size", self.population_size, 2)
        check_whole("runs", self.runs, 1)
        if self.covariance not in KINDS:
            raise ValueError(f"covariance must be one of {', '.join(KINDS)}, got {self.covariance!r}")
        check_positive("sigma0", self.sigma0)
        if isinstance(self.scale, list):
            object.__setattr__(self, "scale", tuple(self.scale))  # as a config gives it
        for number in self.scale if isinstance(self.scale, tuple) else (self.scale,):
            if number is not None:
                check_positive("scale", number)

    @property
    def traits(self) -> Traits:
        """Stochastic, global. It shifts with the problem where `scale` is given, else boxes only do."""
        return Traits(stochastic=True, scope="global", shift_equivariant=self.scale is not None)

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> CMAESState:
        return self.begin(fill(x, self.runs, lower, upper, seed), lower, upper, seed=seed)

    def begin(
        self,
        mean: Tensor,
        lower: Tensor,
        upper: Tensor,
        *,
        seed: int,
        covariance: Tensor | None = None,
        sigma: Tensor | float | None = None,
    ) -> CMAESState:
        """Begin with a given distribution, for instance that of another optimizer, or a Hessian's inverse.

        Parameters
        ----------
        mean : Tensor, shape (runs, dim)
        lower, upper : Tensor, shape (dim,)
        seed : int
        covariance : Tensor of shape (dim, dim) or (runs, dim, dim), optional
            Symmetric and positive definite, in the coordinates of x; by default the squares of `scale`. Rows
            and columns of fixed variables don't matter.
        sigma : float or Tensor of shape (runs,), optional
            Samples are mean + sigma N(0, covariance); by default `sigma0` where no covariance is given,
            else 1.

        Raises
        ------
        ValueError
            If a shape is wrong, or a full covariance in bfloat16.
        """
        if mean.shape[0] != self.runs:
            raise ValueError(
                f"mean must have shape (runs, dim) with runs = {self.runs}, got {tuple(mean.shape)}"
            )
        if self.covariance == "full":
            refuse_coarse('CMAES(covariance="full")', mean)
        mean = project(mean, lower, upper)
        where = coordinates(mean[0], lower, upper, self._scale(mean))
        matrix, size = self._distribution(mean, where, covariance, sigma)
        kind = KINDS[self.covariance]
        shape, factor = kind.factor(kind.begin(matrix))
        weights = self._weights(mean)
        u = to_unit(mean, where)[:, None]
        zero = torch.zeros_like(u)
        z, y, pending = _sample(kind, seed, 0, weights.shape[2], where, u, size, factor, lower, upper)
        value = torch.full_like(pending[:, 0], torch.inf)
        return CMAESState(
            pending, value, lower, upper, seed, 0, where,
            u, size, shape, factor, zero, zero, weights, z, y, pending,
        )  # fmt: skip

    def ask(self, state: CMAESState) -> Query:
        return Query(state.pending, sample=state.step)

    def tell(self, state: CMAESState, evaluation: Evaluation) -> CMAESState:
        size, dim = state.y.shape[1:]
        kind, step = KINDS[self.covariance], state.step + 1
        c = constants(dim, size, kind.acceleration(dim))
        runs = state.mean.shape[0]
        ranked, order = evaluation.value.reshape(runs, 1, size).sort(dim=2, stable=True)
        learnt = _learn(kind, c, state, order)
        alike = ranked.select(2, 0) == ranked.select(2, -1)
        if alike.any():  # values that are all equal, or all infinite, teach nothing
            learnt = _kept(alike[..., None], state, learnt)
        mean, sigma, covariance, path_sigma, path_c = learnt
        factor = state.factor
        if step % c.gap == 0:
            covariance, factor = kind.factor(covariance)
        z, y, pending = _sample(
            kind, state.seed, step, size, state.coordinates, mean, sigma, factor, state.lower, state.upper
        )
        return CMAESState(
            evaluation.x, evaluation.value, state.lower, state.upper, state.seed, step, state.coordinates,
            mean, sigma, covariance, factor, path_sigma, path_c, state.weights, z, y, pending,
        )  # fmt: skip

    def _weights(self, mean: Tensor) -> Tensor:
        """Weights by rank (`CMAESState.weights`)."""
        dim = mean.shape[1]
        size = self.population_size or default_population(dim)
        c = constants(dim, size, KINDS[self.covariance].acceleration(dim))
        weights = torch.tensor(c.weights, dtype=mean.dtype).to(mean.device)
        positive, negative = weights.clamp_min(0), weights.clamp_max(0)
        rows = torch.stack([positive, c.c_mu * positive, c.c_mu * dim * negative])
        return rows.expand(self.runs, 3, size).contiguous()

    def _scale(self, mean: Tensor) -> Tensor | None:
        """`scale` as a tensor of shape (dim,)."""
        if self.scale is None:
            return None
        scale = torch.tensor(self.scale, dtype=mean.dtype).to(mean.device)
        if scale.ndim and scale.shape != mean.shape[1:]:
            raise ValueError(f"scale must have {mean.shape[1]} numbers, one a coordinate, got {len(scale)}")
        return scale.expand(mean.shape[1])

    def _distribution(
        self, mean: Tensor, where: Coordinates, covariance: Tensor | None, sigma: Tensor | float | None
    ) -> tuple[Tensor, Tensor]:
        """Covariance (runs, dim, dim) and step size (runs, 1, 1) in unit coordinates."""
        runs, dim = mean.shape
        eye = torch.eye(dim, dtype=mean.dtype, device=mean.device).expand(runs, dim, dim)
        sizes = torch.full_like(mean[:, :1, None], self.sigma0 if covariance is None else 1.0)
        if sigma is not None:
            sizes = torch.zeros_like(sizes) + (sigma[:, None, None] if isinstance(sigma, Tensor) else sigma)
        if covariance is None:
            return eye, sizes
        if covariance.shape not in ((dim, dim), (runs, dim, dim)):
            raise ValueError(
                f"covariance must have shape (dim, dim) = {(dim, dim)} or (runs, dim, dim) = "
                f"{(runs, dim, dim)}, got {tuple(covariance.shape)}"
            )
        fixed = where.scale == 0
        unit = torch.where(fixed, 1.0, where.scale)
        matrix = (covariance / unit / unit[:, None]).expand(runs, dim, dim)
        matrix = torch.where(fixed | fixed[:, None], eye, matrix)
        size = matrix.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]  # sigma is the size, C the shape
        return matrix / size, sizes * size.sqrt()


def _sample(
    kind: Covariance,
    seed: int,
    step: int,
    size: int,
    where: Coordinates,
    mean: Tensor,
    sigma: Tensor,
    factor: Tensor,
    lower: Tensor,
    upper: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draws z, A z, and the points of the generation `step`."""
    runs, _, dim = mean.shape
    g = generator(seed, step, device=mean.device)
    z = torch.randn(runs, size, dim, generator=g, dtype=mean.dtype, device=mean.device)  # (eq. 38)
    y = kind.spread(factor, z)  # (eq. 39)
    u = torch.addcmul(mean, sigma, y)  # (eq. 40)
    return z, y, to_point(u.view(-1, dim), where, lower, upper)


def _learn(kind: Covariance, c: Constants, state: CMAESState, order: Tensor) -> Distribution:
    """The distribution after a generation, of which `order`, (runs, 1, population), are the rows by rank."""
    ranks = order.expand_as(state.weights)
    for_mean, positive, negative = torch.scatter(state.weights, 2, ranks, state.weights).chunk(3, 1)
    y_w = torch.bmm(for_mean, state.y)  # (eq. 41)
    mean = torch.addcmul(state.mean, state.sigma, y_w)  # (eq. 42)
    path_sigma = torch.baddbmm(
        state.path_sigma, for_mean, state.z, beta=1 - c.c_sigma, alpha=c.gain_sigma
    )  # (eq. 43)
    length = torch.linalg.vector_norm(path_sigma, dim=2, keepdim=True)
    rate = c.c_sigma / c.d_sigma
    sigma = torch.rsub(length, -rate, alpha=-rate / c.chi).exp_().mul_(state.sigma)  # (eq. 44)
    sigma.clamp_(max=state.coordinates.widest)
    moving = length.lt_(c.longest(state.step + 1))  # h_sigma, 1 or 0
    path_c = torch.baddbmm(state.path_c, moving, y_w, beta=1 - c.c_c, alpha=c.gain_c)  # (eq. 45)
    squares = torch.linalg.vecdot(state.z, state.z).unsqueeze(1)  # of the Mahalanobis lengths of y
    weights = torch.addcdiv(positive, negative, squares)  # (eq. 46)
    decay = torch.rsub(moving, c.decay + c.stalled, alpha=c.stalled)
    covariance = kind.update(state.covariance, decay, state.y, weights, path_c, c.c_1)  # (eq. 47)
    if state.coordinates.fold is not None:
        covariance, path_c = _within(kind, state.coordinates.fold, sigma, covariance, path_c)
    return mean, sigma, covariance, path_sigma, path_c


def _within(
    kind: Covariance, fold: Fold, sigma: Tensor, covariance: Tensor, path_c: Tensor
) -> tuple[Tensor, Tensor]:
    """Covariance and path whose variances are at most those that make sense in the box."""
    variances = kind.variances(covariance) * sigma.square()
    if not (variances > fold.most).any():
        return covariance, path_c
    share = (fold.most / variances.clamp_min(0)).clamp_max(1.0).sqrt()
    return kind.rescaled(covariance, share), path_c * share


def _kept(alike: Tensor, state: CMAESState, learnt: Distribution) -> Distribution:
    """What was learnt, but where `alike`, (runs, 1, 1), the distribution that was."""
    mean, sigma, covariance, path_sigma, path_c = learnt
    return (
        torch.where(alike, state.mean, mean),
        torch.where(alike, state.sigma, sigma),
        torch.where(alike, state.covariance, covariance),
        torch.where(alike, state.path_sigma, path_sigma),
        torch.where(alike, state.path_c, path_c),
    )
