"""Every registered optimizer, and others with other options, against every law in both dtypes."""

import pytest
import torch
from deap import base, tools

from hybridopt import (
    BFGS,
    LBFGS,
    Alternate,
    BasinHopping,
    GeneticAlgorithm,
    GradientNoise,
    MemeticGenetic,
    PerturbedDescent,
    PerturbRestart,
    TorchGradient,
)
from hybridopt.conditions import AnyOf, LowDiversity, SmallGradient, Stalled, Steps
from hybridopt.evolution import operators
from hybridopt.gradient import Replay
from hybridopt.registry import OPTIMIZERS, make
from hybridopt.testing import LAWS, parametrization


def descent(**options):
    return TorchGradient(torch.optim.SGD, **{"lr": 0.01, **options})


def genetic(**options):
    return GeneticAlgorithm(population_size=6, **options)


def deap_toolbox():
    toolbox = base.Toolbox()
    toolbox.register("select", tools.selTournament, tournsize=2)
    toolbox.register("mate", tools.cxBlend, alpha=0.3)
    toolbox.register("mutate", tools.mutGaussian, mu=0.0, sigma=0.3, indpb=0.5)
    return toolbox


def tensor_toolbox(mate, **options):
    toolbox = base.Toolbox()
    toolbox.register("select", operators.selTournament, tournsize=2)
    toolbox.register("mate", mate, **options)
    toolbox.register("mutate", operators.mutGaussian, mu=0.0, sigma=0.3, indpb=0.5)
    return toolbox


# Options of registered optimizers that need some, or that do more in a few steps with others.
EXAMPLES = {
    "sgd": {"lr": 0.02},
    "asgd": {"lr": 0.02, "t0": 4},
    "genetic": {"population_size": 7},
    "shade": {"population_size": 7},
    "lshade": {"max_evals": 100, "population_size": 9},
    "perturbed": {"radius": 0.1, "every": 2},
    "random_search": {"population_size": 6},
    "memetic": {"genetic": genetic(), "local_steps": 3},
    "basin_hopping": {"population_size": 4},
    "alternate": {"phases": [descent(), genetic()], "switch": Steps(3)},
    "perturb_restart": {"inner": descent(), "switch": Steps(3)},
}

SADDLE_SWITCH = [AnyOf(SmallGradient(1e-8), Stalled(2)), AnyOf(Steps(2), LowDiversity(1e-3))]

VARIANTS = {
    "momentum": descent(momentum=0.9),
    "nesterov": descent(momentum=0.9, nesterov=True),
    "five-rows": descent(population_size=5),
    "weight-decay": descent(weight_decay=0.1),
    "amsgrad": TorchGradient(torch.optim.Adam, lr=0.05, amsgrad=True),
    "centered-rmsprop": TorchGradient(torch.optim.RMSprop, lr=0.02, centered=True, momentum=0.9),
    "asgd-without-decay": TorchGradient(torch.optim.ASGD, lambd=0.0, t0=4),
    "foreach-adam": TorchGradient(torch.optim.Adam, lr=0.05, foreach=True),
    "replayed-cosine": descent(schedule=Replay(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=8)),
    "replayed-one-cycle": descent(
        momentum=0.9, schedule=Replay(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=6)
    ),
    "callable-schedule": descent(schedule=lambda step: 0.05 / (1 + step)),
    "diverging": descent(lr=1e3),
    "scaled-bfgs": BFGS(scaled=True, first_step=0.1),
    "scaled-lbfgs": LBFGS(scaled=True, first_step=0.1),
    "noisy-adam": GradientNoise(TorchGradient(torch.optim.Adam, lr=0.05), eta=1.0),
    "noisy-rows": GradientNoise(descent(population_size=4)),
    "perturbed-momentum": PerturbedDescent(descent(momentum=0.9), threshold=1.0),
    "genetic-without-elite": genetic(elite=0, mutpb=0.5),
    "genetic-two-point": genetic(toolbox=tensor_toolbox(operators.cxTwoPoint)),
    "genetic-deap": genetic(toolbox=deap_toolbox()),
    "genetic-deap-numpy": genetic(toolbox=deap_toolbox(), individual="numpy"),
    "alternate-conditions": Alternate([descent(population_size=2), genetic()], SADDLE_SWITCH),
    "alternate-three": Alternate([genetic(), descent(momentum=0.9), GradientNoise(descent())], Steps(2)),
    "alternate-descents": Alternate([descent(), TorchGradient(torch.optim.Adam)], Steps(3)),
    "restarted-genetic": PerturbRestart(genetic(), Steps(3), share=1.0),
    "restarted-noise": PerturbRestart(GradientNoise(descent(population_size=4)), Stalled(2)),
    "memetic-baldwin": MemeticGenetic(genetic(elite=0), lamarck=0.5, local_steps=2),
    "memetic-deap": MemeticGenetic(genetic(toolbox=deap_toolbox()), local_steps=2),
    "basin-hopping-recombined": BasinHopping(recombined=1.0, ftol=0.1, patience=1),
    "basin-hopping-alone": BasinHopping(population_size=1, reach=0.5),
    "nested": Alternate(
        [Alternate([descent(), genetic()], Steps(2)), PerturbedDescent(descent())], [Steps(5), Steps(2)]
    ),
}


def registered(name):
    return make(name, **EXAMPLES.get(name, {}))


REGISTERED = {name: registered(name) for name in OPTIMIZERS}
DEVICES = "devices_are_not_mixed"  # the slowest law; one dtype will do


@pytest.mark.parametrize(**parametrization(REGISTERED, laws=[name for name in LAWS if name != DEVICES]))
def test_registered_optimizer_passes(check):
    check()


@pytest.mark.parametrize(**parametrization(REGISTERED, laws=[DEVICES], dtypes=[torch.float32]))
def test_registered_optimizer_mixes_no_devices(check):
    check()


@pytest.mark.parametrize(**parametrization(VARIANTS, dtypes=[torch.float64]))
def test_variant_passes(check):
    check()


@pytest.mark.parametrize(
    **parametrization(
        VARIANTS, laws=["asked_points_stay_in_bounds", "dtype_and_device_are_kept"], dtypes=[torch.float32]
    )
)
def test_variant_rounds_within_bounds_and_dtype(check):
    check()
