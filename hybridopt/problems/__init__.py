"""Problems with known minima or known saddles, and learning tasks; a user's own by one decorator line."""

from hybridopt.problems import (  # noqa: F401 (they register themselves)
    bbob,
    costs,
    deep_linear,
    examples,
    factorisation,
    functions,
    learning,
    multimodal,
    own,
    phase,
    planar,
    rayleigh,
    risks,
    saddles,
)
from hybridopt.problems.catalogue import PROBLEMS, TASKS, make, make_task, problem, task
from hybridopt.problems.placement import Placed, place
from hybridopt.problems.problem import Problem, box
from hybridopt.problems.task import Task

__all__ = [
    "PROBLEMS",
    "TASKS",
    "Placed",
    "Problem",
    "Task",
    "box",
    "make",
    "make_task",
    "place",
    "problem",
    "task",
]
