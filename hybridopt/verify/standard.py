"""What is asked of each kind of optimizer, and with which settings the registered ones are asked.

All baselines are scaled alike (`hybridopt.baselines.Baseline`), so that an optimizer has one setting for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from hybridopt import registry
from hybridopt.core import Optimizer

Measure = Literal["distance", "value", "path"]
Reference = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Standard:
    """How exact a kind of optimizer has to be.

    Attributes
    ----------
    measure : {"distance", "value", "path"}
        Of the point from the solution, and of its value from the lowest, both as shares of the start's; of a
        path from torch's own, as a share of its length.
    tolerance : float
    reason : str
        Why that much.
    max_evals : int
        Budget in units.
    tol : float, optional
        Gradient at which a run may end.
    selects : bool
        Whether it ends at one particular solution where there are many (`Baseline.selects`).
    """

    measure: Measure
    tolerance: float
    reason: str
    max_evals: int
    tol: float | None = None
    selects: bool = False


DESCENT = Standard(
    measure="distance",
    tolerance=1e-6,
    reason="linear convergence, ended where no gradient component is above 1e-8: at curvatures from 0.1 that "
    "is 1e-7 from the solution, and rounding of the value hides another 1e-7",
    max_evals=20_000,
    tol=1e-8,
    selects=True,
)
SETTLING = Standard(
    measure="distance",
    tolerance=DESCENT.tolerance,
    reason="it moves by chance too, but ends with descent: as for descent, though at any of many solutions",
    max_evals=DESCENT.max_evals,
    tol=DESCENT.tol,
)
NOISY = Standard(
    measure="value",
    tolerance=1e-3,
    reason="gradients with noise end within the noise that is left after the budget: 1e-4 of the value where "
    "its variance falls as 1/step, 1e-2 where it does not fall",
    max_evals=3000,
)
EVOLUTION = Standard(
    measure="value",
    tolerance=1e-3,
    reason="without gradients the budget brings 1e-4 of the value in the slowest case (low_rank, dim 12) and "
    "much less elsewhere; without mutation it ends at 1e-2",
    max_evals=8000,
)
SAMPLING = Standard(
    measure="value",
    tolerance=0.7,
    reason="points that learn nothing from one another: half of the value is left in the slowest case "
    "(ridge in 6 variables, of 20 seeds), all of it where the points are always the same",
    max_evals=100_000,
)
PATH = Standard(
    measure="path",
    tolerance=1e-9,
    reason="the same formulas as torch.optim's, so rounding alone may differ",
    max_evals=0,
)


@dataclass(frozen=True)
class Setting:
    """Options of a registered optimizer, and what they let one expect."""

    options: Mapping[str, Any] = field(default_factory=dict)
    standard: Standard | None = None
    reference: type[torch.optim.Optimizer] | None = None


def adaptive(reference: type[torch.optim.Optimizer], **options: Any) -> Setting:
    """Adam and its like, which near the solution are descent with rate lr / eps = 1: a constant rate will do.

    With torch's eps of 1e-8 they would step back and forth by lr, and need a rate that falls.
    """
    return Setting({"lr": 0.1, "eps": 0.1, **options}, reference=reference)


def settings() -> dict[str, Setting]:
    """Settings by registered name; one that is missing here runs with its own defaults.

    Rates are 1 / (largest curvature) = 1 where the method has a rate, decay towards the origin is off, since
    it moves the solution.
    """
    from hybridopt.conditions import AnyOf, SmallGradient, Stalled, Steps
    from hybridopt.evolution import GeneticAlgorithm
    from hybridopt.gradient.descent import sgd

    return {
        "sgd": Setting({"lr": 0.5, "momentum": 0.5}, reference=torch.optim.SGD),
        "asgd": Setting({"lr": 1.0, "lambd": 0.0}, reference=torch.optim.ASGD),
        "adadelta": Setting({"lr": 1.0, "eps": 1e-2}, reference=torch.optim.Adadelta),
        "adagrad": Setting({"lr": 1.0}, reference=torch.optim.Adagrad),
        "adam": adaptive(torch.optim.Adam),
        "adamw": adaptive(torch.optim.AdamW, weight_decay=0.0),
        "adamax": adaptive(torch.optim.Adamax),
        "nadam": adaptive(torch.optim.NAdam),
        "radam": adaptive(torch.optim.RAdam),
        "rmsprop": adaptive(torch.optim.RMSprop),
        "rprop": Setting({"lr": 0.1, "step_sizes": (1e-12, 1.0)}, reference=torch.optim.Rprop),
        "gradient_noise": Setting({"inner": sgd(lr=0.5), "gamma": 1.0}),
        "perturbed": Setting({"inner": sgd(lr=1.0)}, SETTLING),
        # few rows, so that what the first ones know does not last: mutation has to find the rest
        "genetic": Setting({"population_size": 20}),
        "shade": Setting({"population_size": 30}),
        "lshade": Setting({"max_evals": EVOLUTION.max_evals}),
        "random_search": Setting({"population_size": 1000}, SAMPLING),
        "alternate": Setting(
            {
                "phases": [GeneticAlgorithm(20), sgd(lr=1.0, population_size=1)],
                "switch": [Steps(20), AnyOf(SmallGradient(1e-9), Stalled(50))],
            },
            SETTLING,
        ),
        "perturb_restart": Setting(
            {"inner": sgd(lr=1.0), "switch": AnyOf(SmallGradient(1e-9), Stalled(50, rtol=0.0))}, SETTLING
        ),
    }


def setting_of(name: str) -> Setting:
    """Setting of a registered optimizer."""
    return settings().get(name, Setting())


def build(name: str) -> Optimizer[Any]:
    """Registered optimizer with the options it is verified with."""
    made: Optimizer[Any] = registry.make(name, **setting_of(name).options)
    return made


def standard_for(optimizer: Optimizer[Any]) -> Standard:
    """What can be asked of an optimizer, by its traits."""
    if optimizer.traits.order == 0:
        return EVOLUTION
    return NOISY if optimizer.traits.stochastic else DESCENT
