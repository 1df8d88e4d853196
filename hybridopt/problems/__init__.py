"""Problems with known minima or known saddles, and learning tasks; a user's own by one decorator line."""

from hybridopt.problems import functions, learning, saddles  # noqa: F401 (they register themselves)
from hybridopt.problems.catalogue import PROBLEMS, TASKS, make, make_task, problem, task
from hybridopt.problems.problem import Placed, Problem, box, place
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
