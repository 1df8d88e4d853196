"""Problems that go wrong, for the tests of the runner; named in configs by import path."""

import os
import time
from pathlib import Path

import torch

from hybridopt.problems import Problem, box


def failing(dim, seed):
    """Raises for odd seeds."""
    if seed % 2:
        raise RuntimeError("odd seed")
    return _bowl(dim, lambda x: x.square().sum(-1))


def deadly(dim, seed):
    """Kills its process for odd seeds, unless it is only looked at."""
    if seed % 2:
        os._exit(7)
    return _bowl(dim, lambda x: x.square().sum(-1))


def endless(dim, seed):
    """Says that it was begun, and never ends."""
    folder = Path(os.environ["HYBRIDOPT_TEST_FOLDER"])

    def fun(x):
        (folder / f"begun-{seed}").touch()
        time.sleep(1000)
        return x.square().sum(-1)

    return _bowl(dim, fun)


def odd_one_out(dim, seed):
    """NaN everywhere."""
    return _bowl(dim, lambda x: x.sum(-1) * torch.nan)


def _bowl(dim, fun):
    lower, upper = box(dim, -1.0, 2.0)
    return Problem("bowl", dim, fun, lower, upper, value=0.0)


def keyless(dim, seed):
    """Raises what no config error is made of."""
    return {}[dim]
